"""The channel of the largest input at each position (F_max in paper Eq. 8)."""

import torch
from torch import Tensor

from .memory_format import is_channels_last
from .tracing import is_traced


def strongest_channel(x: Tensor) -> Tensor:
    """The first channel with the largest value at each position: ``(B, C, H, W)`` to ``(B, 1, H, W)``."""
    if is_traced():
        return _strongest_by_reductions(x)
    if not is_channels_last(x):
        return x.argmax(1, keepdim=True)
    # max gives the same indices as argmax in less time
    return x.permute(0, 2, 3, 1).max(3, keepdim=True).indices.permute(0, 3, 1, 2)


def _strongest_by_reductions(x: Tensor) -> Tensor:
    """The same by two reductions, which runtimes compute in any memory layout.

    OpenVINO has a fast search for the largest value only along a dimension whose values are not neighbors in memory,
    and permutes the features for it. At a position with NaN the result is some channel.
    """
    # integers, since a runtime that computes in BF16 would round numbers above 256
    channels = torch.arange(x.shape[1], device=x.device)[None, :, None, None]
    smaller = x < x.amax(1, keepdim=True)  # false for all channels if the maximum is NaN
    return torch.where(smaller, x.shape[1], channels).amin(1, keepdim=True)
