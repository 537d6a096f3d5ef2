"""Work on features in the order in which they lie in memory, which kernels of CPUs are several times faster on."""

import torch
from torch import Tensor

from .tracing import is_traced


def is_channels_last(x: Tensor) -> bool:
    """Whether ``x`` ``(B, C, H, W)`` has its channels side by side, and not its positions as well."""
    return x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()


def in_memory_order(*features: Tensor) -> tuple[Tensor, ...]:
    """Views ``(B, H, W, C)`` if the channels of all come last, otherwise the features as they are.

    PyTorch hands elementwise functions to oneDNN, at twice the speed, only for tensors contiguous by their own strides.
    """
    if all(is_channels_last(x) for x in features):
        return tuple(x.permute(0, 2, 3, 1) for x in features)
    return features


def swap_pairs(x: Tensor) -> Tensor:
    """Exchange channels ``2k`` and ``2k + 1`` of ``x`` ``(B, C, H, W)``, in the memory format of ``x``."""
    if is_channels_last(x):
        return x.permute(0, 2, 3, 1).unflatten(3, (-1, 2)).roll(1, 4).flatten(3).permute(0, 3, 1, 2)
    return x.unflatten(1, (-1, 2)).roll(1, 2).flatten(1, 2)


def strongest_channel(x: Tensor) -> Tensor:
    """The first channel with the largest value at each position: ``(B, C, H, W)`` to ``(B, 1, H, W)``."""
    if is_traced():  # in this order runtimes search without turning the features around
        strongest = x.permute(0, 2, 3, 1).argmax(3, keepdim=True)
    elif is_channels_last(x):
        strongest = x.permute(0, 2, 3, 1).max(3, keepdim=True).indices  # the same as argmax, sooner
    else:
        return x.argmax(1, keepdim=True)
    return strongest.permute(0, 3, 1, 2)
