"""The spatial mixer SMixer (paper Sec. III-B, Eq. 3-6).

Differs from the paper's text where the authors' implementation does: the first of the two stacked 3x3 convolutions of
the low-frequency branch has neither normalization nor activation.
"""

import torch
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor, nn

from ..checks import check_flags, check_integers, check_multiples, is_integer, refuse
from ..nn.conv_norm_act import ConvNormAct
from ..ops.projection import gated_projection
from .channel_gate import ChannelGate


@MODELS.register_module()
class SMixer(BaseModule):
    """Two branches of different dilation over decomposed features, recalibrated and projected.

    Args:
        channels (int): Channels C in and out; a multiple of 8.
        depthwise (bool): Depthwise instead of full convolutions in the branches (Table VIII).
        kernel_size (int): Kernel of the low-frequency branch (Table V): 3 for two stacked 3x3, 5 for one 5x5,
            both with dilation 2 and the same receptive field. Defaults to 3.
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
        kernel_size: int = 3,
        width: int | None = None,
    ):
        super().__init__()
        check_multiples('SMixer', 8, channels=channels)
        check_flags('SMixer', depthwise=depthwise)
        if not is_integer(kernel_size) or kernel_size not in (3, 5):
            refuse('SMixer', 'kernel_size', '3 (two stacked 3x3) or 5 (one 5x5)', kernel_size)
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
        low_conv = ConvNormAct(conv(kernel_size, 2), norm_cfg, act_cfg)
        self.low_conv = nn.Sequential(conv(3, 2), low_conv) if kernel_size == 3 else low_conv
        self.high_se = ChannelGate(width, channels // 8)
        self.low_se = ChannelGate(width, channels // 8)
        self.proj_out = nn.Conv2d(2 * width, channels, 1)

    def forward(self, x: Tensor, scale: Tensor | None = None) -> Tensor:
        x = self.proj_in(x)
        x = x.addcmul(self.gamma, x - x.mean((2, 3), keepdim=True))  # Eq. 3
        high, low = self.high_conv(x), self.low_conv(x)  # Eq. 4
        gate = torch.cat([self.high_se(high), self.low_se(low)], dim=1)  # Eq. 5
        return gated_projection(torch.cat([high, low], dim=1), gate, self.proj_out, scale)  # Eq. 6
