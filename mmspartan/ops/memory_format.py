"""Views of features in the order in which they lie in memory, on which CPU kernels are several times faster."""

import torch
from torch import Tensor


def is_channels_last(x: Tensor) -> bool:
    """Whether the channels of ``x`` ``(B, C, H, W)`` are contiguous, and its positions are not."""
    return x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()


def in_memory_order(*features: Tensor) -> tuple[Tensor, ...]:
    """Views ``(B, H, W, C)`` if all features are channels_last, otherwise the features as they are.

    PyTorch hands elementwise functions to oneDNN, at twice the speed, only for tensors that are contiguous by their own
    strides.
    """
    if all(is_channels_last(x) for x in features):
        return tuple(x.permute(0, 2, 3, 1) for x in features)
    return features
