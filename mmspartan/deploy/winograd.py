"""3x3 convolutions with half the multiplications, by minimal filtering F(4, 3) along the columns (Winograd; Lavin and
Gray, CVPR 2016, arXiv 1509.09308).

It serves graphs in float32 on CPUs, whose runtimes have no Winograd convolution. INT8 would lose accuracy, and GPU
libraries have their own implementation. Outputs equal those of the plain convolution up to rounding.

The paper filters along both dimensions, with a quarter of the multiplications. Here the other dimension remains a plain
convolution, so that each step is an operation that runtimes compute at full speed in their memory layout.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

# Six rows of products give four rows of the output. These matrices transform six rows of the input (B^T in Sec. 4.3)
# and the three rows of the kernel (G).
FROM_INPUT = (
    (4, 0, -5, 0, 1, 0),
    (0, -4, -4, 1, 1, 0),
    (0, 4, -4, -1, 1, 0),
    (0, -2, -1, 2, 1, 0),
    (0, 2, -1, -2, 1, 0),
    (0, 4, 0, -5, 0, 1),
)
FROM_KERNEL = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)
# For smaller convolutions the transforms take longer than the saved multiplications.
MIN_CHANNELS, MIN_POSITIONS = 96, 256


class WinogradConv2d(nn.Module):
    """A Winograd convolution; the plain convolution if the features are small or ``H`` is not a multiple of 4.

    Args:
        conv (nn.Conv2d): 3x3 convolution with stride 1, padding 1 and one group.

    Shape: ``(B, in_channels, H, W)`` to ``(B, out_channels, H, W)``.
    """

    def __init__(self, conv: nn.Conv2d):
        super().__init__()
        self.conv = conv

    def forward(self, x: Tensor) -> Tensor:
        conv, (height, width) = self.conv, x.shape[2:]
        if height % 4 or height * width < MIN_POSITIONS:
            return conv(x)
        from_input = x.new_tensor(FROM_INPUT)[:, None, None, :, None].expand(-1, conv.in_channels, -1, -1, -1)
        # the graph computes the kernels, which are twice as large as the weights: runtimes do so once, at loading
        kernels = torch.einsum('ph,oihw->poiw', x.new_tensor(FROM_KERNEL), conv.weight)[:, :, :, None]
        a, b, c, d, e, f = (
            conv2d(conv2d(x, transform, None, (4, 1), (1, 0), groups=conv.in_channels), kernel, None, 1, (0, 1))
            for transform, kernel in zip(from_input, kernels)
        )
        if conv.bias is not None:
            b = b + conv.bias[:, None, None]
        even, even4, odd, odd2 = b + c, d + e, b - c, d - e
        rows = [a + even + even4, odd + 2 * odd2, even + 4 * even4, odd + 8 * odd2 + f]  # A^T in Sec. 4.3
        # reorder the four rows, which are concatenated along the width, along the height
        return torch.cat(rows, dim=3).unflatten(3, (4, -1)).flatten(2, 3)


def use_winograd(model: nn.Module) -> int:
    """Replace the large enough 3x3 convolutions of a deployed model, and return their number."""
    found = [
        (parent, name, child)
        for parent in model.modules()
        for name, child in parent.named_children()
        if type(child) is nn.Conv2d and not isinstance(parent, WinogradConv2d) and _may_gain(child)
    ]
    for parent, name, conv in found:
        setattr(parent, name, WinogradConv2d(conv))
    return len(found)


def _may_gain(conv: nn.Conv2d) -> bool:
    return (
        (conv.kernel_size, conv.stride, conv.padding, conv.dilation) == ((3, 3), (1, 1), (1, 1), (1, 1))
        and (conv.groups, conv.padding_mode) == (1, 'zeros')
        and min(conv.in_channels, conv.out_channels) >= MIN_CHANNELS
    )
