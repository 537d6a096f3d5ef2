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

    Parts of a module that reduces a map of their stride, such as the first convolution of an inverted residual, do not
    end a stage.

    Args:
        subject: The model.
        example: An image that the backbone is run with.
        strides: Strides of the feature maps. By default those that the backbone returns.

    Raises:
        InputError: If the backbone has no feature map of a stride.
    """
    last: dict[int, nn.Module] = {}
    entered: list[tuple[int, nn.Module | None]] = []  # of the modules that are running: see `enter`
    backbone, size = subject.model.backbone, example.inputs.shape[2:]

    def enter(module: nn.Module, inputs: tuple) -> None:
        stride = _stride(size, inputs[0]) if inputs else 0
        entered.append((stride, last.get(stride)))

    def leave(module: nn.Module, inputs: tuple, output: object) -> None:
        stride = _stride(size, output)
        taken, before = entered.pop()
        if stride > taken and before is not None:  # what ran inside with the stride of the input ended no stage
            last[taken] = before
        if stride:
            last[stride] = module

    with ExitStack() as hooks:
        for module in backbone.modules():
            hooks.callback(module.register_forward_pre_hook(enter).remove)
            hooks.callback(module.register_forward_hook(leave).remove)
        returned = backbone(example.inputs)
    if strides is None:
        maps = returned if isinstance(returned, tuple | list) else [returned]
        strides = sorted({_stride(size, out) for out in maps} - {0})
        if not strides:
            raise InputError(f'{subject.name}: its backbone returns no feature map; give --stride')
    for stride in strides:
        if stride not in last:
            raise InputError(f'--stride {stride}: {subject.name} has feature maps of the strides {sorted(last)}')
    return [last[stride] for stride in sorted(strides)]


def _stride(size: torch.Size, feature: object) -> int:
    """Return the power of 2 by which a feature map is smaller than the input; 0 of what is no feature map."""
    for stride in (1, 2, 4, 8, 16, 32, 64):
        if (
            isinstance(feature, Tensor)
            and feature.ndim == 4
            and all(abs(side / stride - found) < 1 for side, found in zip(size, feature.shape[2:]))
        ):
            return stride
    return 0
