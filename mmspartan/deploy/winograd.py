"""3x3 convolutions in half the multiplications: minimal filtering F(4, 3) (Winograd; Lavin and Gray, CVPR 2016,
arXiv 1509.09308), down the columns alone.

For graphs that run in float32 on a CPU, whose runtimes have the direct form alone: INT8 loses accuracy by it, and
libraries of GPUs have their own. Outputs are those of the direct form up to rounding.

Departs from the paper, which filters along both sides and so in a quarter of the multiplications, in that along the
rows there still are convolutions: so each step is an operation that runtimes have at full speed in their own layout.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

# Six rows of products give four rows of the output. What makes them of six rows of the input (B^T in Sec. 4.3), and of
# the three rows of the kernel (G).
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
# With fewer, what is added to the multiplications takes longer than those that are saved.
MIN_CHANNELS, MIN_POSITIONS = 96, 256


class WinogradConv2d(nn.Module):
    """A convolution in this form; directly where features are small or ``H`` is no multiple of 4.

    Args:
        conv (nn.Conv2d): 3x3 of stride 1, padding 1 and one group.

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
        # computed in the graph, since runtimes do it once, when they load it: written down they are twice as many
        kernels = torch.einsum('ph,oihw->poiw', x.new_tensor(FROM_KERNEL), conv.weight)[:, :, :, None]
        a, b, c, d, e, f = (
            conv2d(conv2d(x, transform, None, (4, 1), (1, 0), groups=conv.in_channels), kernel, None, 1, (0, 1))
            for transform, kernel in zip(from_input, kernels)
        )
        if conv.bias is not None:
            b = b + conv.bias[:, None, None]
        even, even4, odd, odd2 = b + c, d + e, b - c, d - e
        rows = [a + even + even4, odd + 2 * odd2, even + 4 * even4, odd + 8 * odd2 + f]  # A^T in Sec. 4.3
        # four rows side by side are four rows one below the other
        return torch.cat(rows, dim=3).unflatten(3, (4, -1)).flatten(2, 3)


def use_winograd(model: nn.Module) -> int:
    """Replace the convolutions of a deployed model that may gain by it, and return how many these are."""
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
