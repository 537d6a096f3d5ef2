"""Blocks of a SpaRTAN backbone, and what goes into their modules."""

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..spartan.backbone import SpaRTAN
from .subject import Example, Subject


def stages_of(subject: Subject) -> nn.ModuleList:
    """Return the stages of the backbone.

    Raises:
        InputError: If the backbone is no SpaRTAN.
    """
    backbone = subject.model.backbone
    if not isinstance(backbone, SpaRTAN):
        raise InputError(f'{subject.name}: its backbone is {type(backbone).__name__}, not SpaRTAN')
    return backbone.stages


def mixer_of(subject: Subject, name: str, stage: int, block: int | None = None) -> nn.Module:
    """Return the mixer ``name``, ``smixer`` or ``cmixer``, of a block.

    Args:
        subject: The model.
        name: Attribute of the block.
        stage: Of the block, from 1.
        block: In its stage, from 1; the last by default.

    Raises:
        InputError: If the model's backbone is no SpaRTAN, or has no such block.
    """
    stages = stages_of(subject)
    if not 1 <= stage <= len(stages):
        raise InputError(f'--stage {stage}: {subject.name} has the stages 1 to {len(stages)}')
    blocks = list(stages[stage - 1].children())
    if block is not None and not 1 <= block <= len(blocks):
        raise InputError(f'--block {block}: stage {stage} of {subject.name} has the blocks 1 to {len(blocks)}')
    return getattr(blocks[-1 if block is None else block - 1], name)


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
