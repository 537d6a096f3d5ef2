"""Blocks of a SpaRTAN backbone, and what goes into their modules."""

from torch import Tensor, nn

from ..errors import InputError
from ..spartan.backbone import SpaRTAN
from .subject import Subject


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
    """Return the mixer ``name``, ``smixer`` or ``cmixer``, of a block; stages and blocks count from 1.

    Args:
        block: In its stage; the last by default.

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


def run_until(module: nn.Module, backbone: nn.Module, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Run a backbone and return the first argument and the output of a module in it."""
    seen: list[tuple[Tensor, Tensor]] = []
    hook = module.register_forward_hook(lambda module, given, output: seen.append((given[0], output)))
    try:
        backbone(inputs)
    finally:
        hook.remove()
    return seen[0]
