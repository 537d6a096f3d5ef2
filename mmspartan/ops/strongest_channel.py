"""The channel of the largest input at each position (F_max in paper Eq. 8)."""

from torch import Tensor

from .memory_format import is_channels_last
from .tracing import is_traced


def strongest_channel(x: Tensor) -> Tensor:
    """The first channel with the largest value at each position: ``(B, C, H, W)`` to ``(B, 1, H, W)``."""
    if is_traced():  # runtimes search along the last dimension without permuting the features
        strongest = x.permute(0, 2, 3, 1).argmax(3, keepdim=True)
    elif is_channels_last(x):  # max gives the same indices as argmax in less time
        strongest = x.permute(0, 2, 3, 1).max(3, keepdim=True).indices
    else:
        return x.argmax(1, keepdim=True)
    return strongest.permute(0, 3, 1, 2)
