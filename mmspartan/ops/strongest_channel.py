"""The channel of the largest input at each position (F_max in paper Eq. 8)."""

from torch import Tensor

from .memory_format import is_channels_last
from .tracing import is_traced


def strongest_channel(x: Tensor) -> Tensor:
    """The first channel with the largest value at each position: ``(B, C, H, W)`` to ``(B, 1, H, W)``."""
    if is_traced() or not is_channels_last(x):
        return x.argmax(1, keepdim=True)
    # max gives the same indices as argmax in less time
    return x.permute(0, 2, 3, 1).max(3, keepdim=True).indices.permute(0, 3, 1, 2)
