"""Lite encoder of DEIMv2's sizes Atto, Femto and Pico (arXiv 2509.20787): two scales of one, by convolutions.

Authors' code: github.com/Intellindust-AI-Lab/DEIMv2, Apache-2.0. Modules are named as those of
:class:`~mmspartan.rtdetr.encoder.HybridEncoder`, which have the same purpose.
"""

from collections.abc import Sequence

from mmengine.model import BaseModule, ModuleList
from mmengine.registry import MODELS
from torch import Tensor, nn

from ..checks import check_integers, check_levels, check_numbers, is_integer, refuse
from ..dfine.encoder import RepELAN
from ..nn.conv_norm_act import ConvNormAct
from .encoder import TopDownSumELAN


@MODELS.register_module()
class LiteEncoder(BaseModule):
    """Makes a coarser scale of the input by average pooling, adds its global mean (GAP fusion), and fuses both scales.

    Args:
        in_channels (Sequence[int]): Channels of the input, a list of one number.
        hidden_channels (int): Channels of both outputs. Defaults to 64.
        expansion (float): Channels of the fusion blocks' CSP blocks, relative to half of ``hidden_channels``. Defaults
            to 0.34.
        num_blocks (int): Number of RepVGG blocks in each CSP block. Defaults to 2.
        norm_cfg, act_cfg (dict): Normalization and activation after convolutions. Default to BN and SiLU.
        init_cfg (dict, optional): Initialization.

    Shape: a tuple of one ``(B, in_channels[0], H, W)`` to a tuple of ``(B, hidden_channels, H, W)`` and
    ``(B, hidden_channels, H / 2, W / 2)``, rounded up.

    Raises:
        ValueError: If an argument is out of its range.
    """

    num_levels = 2

    def __init__(
        self,
        in_channels: Sequence[int],
        hidden_channels: int = 64,
        expansion: float = 0.34,
        num_blocks: int = 2,
        norm_cfg: dict = dict(type='BN'),
        act_cfg: dict = dict(type='SiLU'),
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        if not isinstance(in_channels, list | tuple) or len(in_channels) != 1 or not is_integer(in_channels[0]):
            refuse('LiteEncoder', 'in_channels', 'a list of one positive integer', in_channels)
        check_integers('LiteEncoder', hidden_channels=hidden_channels, num_blocks=num_blocks)
        check_numbers('LiteEncoder', f'[{2 / hidden_channels}, inf)', expansion=expansion)
        self.in_channels, self.hidden_channels = tuple(in_channels), hidden_channels

        def conv(inputs: int, act_cfg: dict | None = act_cfg) -> ConvNormAct:
            return ConvNormAct(nn.Conv2d(inputs, hidden_channels, 1, bias=False), norm_cfg, act_cfg)

        def fusion(kind: type[RepELAN]) -> ModuleList:
            width = int(expansion * hidden_channels // 2)
            return ModuleList([kind(hidden_channels, hidden_channels, num_blocks, width, norm_cfg, act_cfg)])

        self.input_convs = ModuleList([conv(in_channels[0], None)])
        self.downsample_convs = ModuleList(
            nn.Sequential(nn.AvgPool2d(3, stride=2, padding=1), conv(hidden_channels)) for _ in range(2)
        )
        self.global_fusion = conv(hidden_channels)
        self.top_down_blocks = fusion(TopDownSumELAN)
        self.bottom_up_blocks = fusion(RepELAN)

    def forward(self, feats: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        check_levels('LiteEncoder', self.input_convs, feats)
        fine = self.input_convs[0](feats[0])
        coarse = self.downsample_convs[0](fine)
        coarse = self.global_fusion(coarse + coarse.mean((2, 3), keepdim=True))
        fine = self.top_down_blocks[0](coarse, fine)
        return fine, self.bottom_up_blocks[0](coarse + self.downsample_convs[1](fine))
