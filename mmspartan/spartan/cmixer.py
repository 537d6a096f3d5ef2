"""The wave-based channel mixer CMixer (paper Sec. III-C, Eq. 7-10).

Differs from the paper's text where the authors' implementation does: every channel is superposed with the wave of the
channel that is the largest *input* at its position, and the convolution that follows is depthwise (groups = N) where
the SMixer's are full, and has ``expand_ratio`` channels a group (groups = C) where the SMixer's are depthwise.
"""

import math

from mmcv.cnn import build_activation_layer
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor, nn

from ..checks import check_integers, check_multiples, is_integer, refuse
from ..nn.conv_norm_act import ConvNormAct
from ..ops.halved_conv import halved_conv
from ..ops.projection import gated_projection
from ..ops.superposition import superpose
from .channel_gate import ChannelGate
from .modulated_conv import ModulatedConv2d


@MODELS.register_module()
class CMixer(BaseModule):
    """Wave-based channel aggregation followed by feature refinement.

    Args:
        channels (int): Channels C in and out; a multiple of 4.
        expand_ratio (int): N / C of the N hidden waves.
        groups (int): Groups of the convolution over the waves; a divisor of N.
        width (int, optional): N, an even number, at least C. Defaults to C * ``expand_ratio``; :mod:`mmspartan.pruning`
            leaves fewer.
        norm_cfg, act_cfg (dict): Normalization after the 3x3 convolution; activation of the phase and after it.

    Shape: ``(B, C, H, W)``, and LayerScale ``(C, 1, 1)`` or ``(B, C, 1, 1)``, to ``(B, C, H, W)``.

    Raises:
        ValueError: If an argument is out of its range.
    """

    takes_scale = True

    def __init__(
        self,
        channels: int,
        expand_ratio: int,
        groups: int,
        norm_cfg: dict,
        act_cfg: dict,
        width: int | None = None,
    ):
        super().__init__()
        check_multiples('CMixer', 4, channels=channels)
        check_integers('CMixer', expand_ratio=expand_ratio, groups=groups)
        hidden = channels * expand_ratio if width is None else width
        # each position is superposed with one of the first C waves, so that these are always there
        if not is_integer(hidden, channels) or hidden % 2:
            refuse('CMixer', 'width', f'an even number, at least channels = {channels}', hidden)
        if hidden % groups:
            refuse('CMixer', 'groups', f'a divisor of the {hidden} waves', groups)
        self.groups = groups
        # amplitude and phase read the same input: one convolution instead of two
        self.wave = nn.Conv2d(channels, 2 * hidden, 1)
        self.phase_act = build_activation_layer(act_cfg)
        self.conv = ConvNormAct(ModulatedConv2d(hidden, 3, groups), norm_cfg, act_cfg)
        self.se = ChannelGate(hidden, channels // 4)
        self.proj_out = nn.Conv2d(hidden, channels, 1)

    def init_weights(self) -> None:
        """Fan-out as of two convolutions with N outputs each, which ``wave`` stands for."""
        nn.init.normal_(self.wave.weight, 0, math.sqrt(2 / (self.wave.out_channels // 2)))
        nn.init.normal_(self.conv.conv.get_parameter('complex_weight'))

    def forward(self, x: Tensor, scale: Tensor | None = None) -> Tensor:
        amplitude, phase = halved_conv(x, self.wave)  # Eq. 7
        strongest = x.argmax(1, keepdim=True)
        wave = superpose(amplitude, phase, strongest, self.phase_act)  # Eq. 8
        wave = self.conv(wave)  # Eq. 9
        return gated_projection(wave, self.se(wave), self.proj_out, scale)  # Eq. 10
