"""The modulated convolution of the CMixer (paper Eq. 9)."""

import torch
from torch import Tensor, nn

from ..ops.modulated_conv import modulated_conv


class ModulatedConv2d(nn.Conv2d):
    """Bias-free convolution of waves that a learnt complex weight has rotated and scaled.

    Args:
        channels (int): Input and output channels; even. Channels ``(2k, 2k + 1)`` are the real and the imaginary part
            of one wave.
        kernel_size (int): Odd.
        groups (int): Groups of the convolution.

    Shape: ``(B, channels, H, W)`` to the same.
    """

    def __init__(self, channels: int, kernel_size: int, groups: int):
        super().__init__(channels, channels, kernel_size, padding=kernel_size // 2, groups=groups, bias=False)
        self.complex_weight = nn.Parameter(torch.randn(channels // 2, 2))  # (a_k, b_k)

    def forward(self, x: Tensor) -> Tensor:
        return modulated_conv(x, self.weight, self.complex_weight, self.groups)
