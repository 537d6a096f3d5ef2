"""Squeeze-and-excitation (paper Eq. 5; Hu et al., arXiv 1709.01507)."""

from torch import Tensor
from torch.nn.functional import linear
from torchvision.ops import SqueezeExcitation

from ..ops.channel_means import channel_means
from ..ops.device import on_gpu
from ..ops.tracing import is_traced


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
        return self.from_means(channel_means(x))

    def from_means(self, means: Tensor) -> Tensor:
        """The same from the means over positions, ``(B, C, 1, 1)``."""
        if is_traced() or on_gpu(means):  # exported graphs keep the convolutions, which runtimes recognize
            return self.scale_activation(self.fc2(self.activation(self.fc1(means))))
        # a matrix product: PyTorch's convolution of one position takes many times as long
        squeezed = linear(means.flatten(1), self.fc1.weight.flatten(1), self.fc1.bias).relu_()
        return linear(squeezed, self.fc2.weight.flatten(1), self.fc2.bias).sigmoid_()[..., None, None]
