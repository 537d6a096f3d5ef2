"""Feature maps of a backbone by their stride, whatever the names of its modules."""

from collections.abc import Sequence
from contextlib import ExitStack

import torch
from torch import Tensor, nn

from ..errors import InputError
from .subject import Example, Subject


@torch.no_grad()
def layers_of_strides(subject: Subject, example: Example, strides: Sequence[int] | None = None) -> list[nn.Module]:
    """Return the modules that end the stages of a backbone: of each stride the last whose output is a feature map.

    Args:
        subject: The model.
        example: A picture that the backbone is run with.
        strides: Strides of the feature maps. By default those that the backbone returns.

    Raises:
        InputError: If the backbone has no feature map of a stride.
    """
    last: dict[int, nn.Module] = {}
    backbone, size = subject.model.backbone, example.inputs.shape[2:]

    def note(module: nn.Module, inputs: object, output: object) -> None:
        if isinstance(output, Tensor) and output.ndim == 4 and (stride := _stride(size, output)):
            last[stride] = module

    with ExitStack() as hooks:
        for module in backbone.modules():
            hooks.callback(module.register_forward_hook(note).remove)
        returned = backbone(example.inputs)
    if strides is None:
        maps = returned if isinstance(returned, tuple | list) else [returned]
        strides = sorted({_stride(size, out) for out in maps if isinstance(out, Tensor) and out.ndim == 4} - {0})
        if not strides:
            raise InputError(f'{subject.name}: its backbone returns no feature map; give --stride')
    for stride in strides:
        if stride not in last:
            raise InputError(f'--stride {stride}: {subject.name} has feature maps of the strides {sorted(last)}')
    return [last[stride] for stride in sorted(strides)]


def _stride(size: torch.Size, feature: Tensor) -> int:
    """Return the power of 2 by which a feature map is smaller than the input, or 0 if there is none."""
    for stride in (1, 2, 4, 8, 16, 32, 64):
        if all(abs(side / stride - found) < 1 for side, found in zip(size, feature.shape[2:])):
            return stride
    return 0
