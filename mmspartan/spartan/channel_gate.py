"""Squeeze-and-excitation (paper Eq. 5; Hu et al., arXiv 1709.01507)."""

from torch import Tensor
from torchvision.ops import SqueezeExcitation


class ChannelGate(SqueezeExcitation):
    """The factors of a squeeze-and-excitation, which the projection that follows applies.

    Args:
        channels (int): Channels C.
        squeezed (int): Hidden channels.

    Shape: ``(B, C, H, W)`` to ``(B, C, 1, 1)`` in (0, 1).
    """

    def __init__(self, channels: int, squeezed: int):
        super().__init__(channels, squeezed)

    def forward(self, x: Tensor) -> Tensor:
        return self.from_means(x.mean((2, 3), keepdim=True))

    def from_means(self, means: Tensor) -> Tensor:
        """The same from the means over positions, ``(B, C, 1, 1)``."""
        return self.scale_activation(self.fc2(self.activation(self.fc1(means))))
