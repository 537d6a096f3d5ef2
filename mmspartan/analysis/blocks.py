"""Blocks of a SpaRTAN backbone, and what goes into their modules."""

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..spartan.backbone import SpaRTAN
from .subject import Example, Subject


def mixer_of(subject: Subject, stage: int, block: int, name: str) -> nn.Module:
    """Return the mixer ``name``, ``smixer`` or ``cmixer``, of a block; stages and blocks are counted from 1.

    Raises:
        InputError: If the model's backbone is no SpaRTAN, or has no such block.
    """
    backbone = subject.model.backbone
    if not isinstance(backbone, SpaRTAN):
        raise InputError(f'{subject.name}: its backbone is {type(backbone).__name__}, not SpaRTAN')
    if not 1 <= stage <= len(backbone.stages):
        raise InputError(f'--stage {stage}: {subject.name} has the stages 1 to {len(backbone.stages)}')
    blocks = backbone.stages[stage - 1]
    if not 1 <= block <= len(blocks):
        raise InputError(f'--block {block}: stage {stage} of {subject.name} has the blocks 1 to {len(blocks)}')
    return getattr(blocks[block - 1], name)


@torch.no_grad()
def input_of(module: nn.Module, subject: Subject, example: Example) -> Tensor:
    """Run the backbone and return the first argument of a module in it."""
    seen: list[Tensor] = []
    hook = module.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    try:
        subject.model.backbone(example.inputs)
    finally:
        hook.remove()
    return seen[0]
