"""The spatial mixer SMixer (paper Sec. III-B, Eq. 3-6).

Differs from the paper's text where the authors' implementation does: the first of the two stacked 3x3 convolutions of
the low-frequency branch has neither normalization nor activation. Other kernels and dilations than those of Table V are
for the paper's question whether larger kernels help (Sec. V).
"""

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor, nn

from ..checks import check_flags, check_integers, check_multiples, is_integer, refuse
from ..nn.conv_norm_act import ConvNormAct
from ..ops.projection import gated_projection
from .channel_gate import ChannelGate
from .large_kernel import LargeKernelConv


@MODELS.register_module()
class SMixer(BaseModule):
    """Two branches of different dilation over decomposed features, recalibrated and projected.

    Args:
        channels (int): Channels C in and out; a multiple of 8.
        depthwise (bool): Depthwise instead of full convolutions in the branches (Table VIII).
        kernel_size (int | Sequence[int]): Kernels of the low-frequency branch, odd: 3 for two stacked 3x3, another
            number for one convolution, such as Table V's 5, or a number for each of the stacked convolutions. With
            dilation 2, 3 and 5 have the same receptive field. Defaults to 3.
        dilation (int): Of the low-frequency branch. Defaults to 2.
        small_kernel (bool): A 3x3 convolution beside the last one of the low-frequency branch while training, see
            :mod:`~mmspartan.spartan.large_kernel`. Defaults to False.
        width (int, optional): Channels of each branch. Defaults to C / 2; :mod:`mmspartan.pruning` leaves fewer.
        norm_cfg, act_cfg (dict): Normalization and activation after the convolutions.

    Shape: ``(B, C, H, W)``, and LayerScale ``(C, 1, 1)`` or ``(B, C, 1, 1)``, to ``(B, C, H, W)``.

    Raises:
        ValueError: If an argument is out of its range.
    """

    takes_scale = True

    def __init__(
        self,
        channels: int,
        depthwise: bool,
        norm_cfg: dict,
        act_cfg: dict,
        kernel_size: int | Sequence[int] = 3,
        dilation: int = 2,
        small_kernel: bool = False,
        width: int | None = None,
    ):
        super().__init__()
        check_multiples('SMixer', 8, channels=channels)
        check_flags('SMixer', depthwise=depthwise, small_kernel=small_kernel)
        check_integers('SMixer', dilation=dilation)
        kernels = kernel_size if isinstance(kernel_size, Sequence) else [kernel_size] * (2 if kernel_size == 3 else 1)
        if not kernels or not all(is_integer(kernel, 3) and kernel % 2 for kernel in kernels):
            refuse('SMixer', 'kernel_size', 'odd, at least 3, or a sequence of such numbers', kernel_size)
        width = channels // 2 if width is None else width
        check_integers('SMixer', width=width)

        def conv(kernel_size: int, dilation: int) -> nn.Conv2d:
            return nn.Conv2d(
                width,
                width,
                kernel_size,
                padding=dilation * (kernel_size // 2),
                dilation=dilation,
                groups=width if depthwise else 1,
                bias=False,
            )

        self.proj_in = nn.Conv2d(channels, width, 1)
        self.gamma = nn.Parameter(torch.full((width, 1, 1), 1e-5))
        self.high_conv = ConvNormAct(conv(3, 1), norm_cfg, act_cfg)
        *first, last = [conv(kernel, dilation) for kernel in kernels]
        low_conv = (LargeKernelConv if small_kernel else ConvNormAct)(last, norm_cfg, act_cfg)
        self.low_conv = nn.Sequential(*first, low_conv) if first else low_conv
        self.high_se = ChannelGate(width, channels // 8)
        self.low_se = ChannelGate(width, channels // 8)
        self.proj_out = nn.Conv2d(2 * width, channels, 1)

    def forward(self, x: Tensor, scale: Tensor | None = None) -> Tensor:
        x = self.proj_in(x)
        x = x.addcmul(self.gamma, x - x.mean((2, 3), keepdim=True))  # Eq. 3
        high, low = self.high_conv(x), self.low_conv(x)  # Eq. 4
        gate = torch.cat([self.high_se(high), self.low_se(low)], dim=1)  # Eq. 5
        return gated_projection(torch.cat([high, low], dim=1), gate, self.proj_out, scale)  # Eq. 6
