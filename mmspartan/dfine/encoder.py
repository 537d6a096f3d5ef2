"""Encoder of D-FINE (arXiv 2410.13842, Sec. 5.1): RT-DETR's, with other blocks.

For fusion it has those of GELAN (YOLOv9, arXiv 2402.13616), and the decoupled downsampling of YOLOv10 (arXiv
2405.14458). Authors' code: github.com/Peterande/D-FINE, Apache-2.0.
"""

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn

from ..nn.conv_norm_act import ConvNormAct
from ..rtdetr.encoder import HybridEncoder
from ..rtdetr.fusion import CSPRepLayer, upsample_and_join


class RepELAN(nn.Module):
    """Aggregation of layers: a part of the input, and the outputs of two CSP blocks in a row, joined by a convolution.

    The authors call it ``RepNCSPELAN4``.

    Args:
        in_channels, out_channels (int): Input and output channels.
        num_blocks (int): Number of RepVGG blocks in each of the two CSP blocks.
        hidden_channels (int): Channels of the CSP blocks.
        norm_cfg, act_cfg (dict): Normalization and activation after convolutions.

    Shape: ``(B, in_channels, H, W)`` to ``(B, out_channels, H, W)``.
    """

    is_region = True  # of regional compilation

    def __init__(
        self, in_channels: int, out_channels: int, num_blocks: int, hidden_channels: int, norm_cfg: dict, act_cfg: dict
    ):
        super().__init__()

        def conv(inputs: int, outputs: int, kernel_size: int) -> ConvNormAct:
            conv = nn.Conv2d(inputs, outputs, kernel_size, padding=kernel_size // 2, bias=False)
            return ConvNormAct(conv, norm_cfg, act_cfg)

        def stage(inputs: int) -> nn.Sequential:
            csp = CSPRepLayer(inputs, hidden_channels, num_blocks, 1.0, norm_cfg, act_cfg)
            return nn.Sequential(csp, conv(hidden_channels, hidden_channels, 3))

        self.conv1 = conv(in_channels, 2 * out_channels, 1)
        self.stage1 = stage(out_channels)
        self.stage2 = stage(hidden_channels)
        self.conv2 = conv(2 * out_channels + 2 * hidden_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.aggregate(self.conv1(x))

    def aggregate(self, x: Tensor) -> Tensor:
        """Apply all but the first convolution."""
        first = self.stage1(x.chunk(2, dim=1)[1])
        return self.conv2(torch.cat([x, first, self.stage2(first)], dim=1))


class TopDownELAN(RepELAN):
    """A :class:`RepELAN` over a coarse feature map, upsampled, and a finer one.

    Shape: ``(B, C, H, W)`` and ``(B, C, H', W')`` to ``(B, out_channels, H', W')``.
    """

    entries = ('conv1',)  # what reads both maps
    is_split = False  # whether it is folded to take both maps without their concatenation

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:  # type: ignore[override] # two feature maps
        if self.is_split:
            return self.aggregate(self.conv1(coarse, fine))
        return super().forward(upsample_and_join(coarse, fine))


@MODELS.register_module()
class DFINEEncoder(HybridEncoder):
    """:class:`~mmspartan.rtdetr.encoder.HybridEncoder` with other blocks; it takes the same arguments.

    ``expansion`` is that of a CSP block's channels, relative to half of ``hidden_channels``; ``num_blocks`` is the
    number of RepVGG blocks in each CSP block.
    """

    top_down_type: type[nn.Module] = TopDownELAN
    joined = 2  # inputs of a block, each of hidden_channels

    def lateral_conv(self) -> nn.Module:
        return self.conv(1)

    def downsample_conv(self) -> nn.Module:
        return nn.Sequential(self.conv(1), self.conv(3, stride=2, groups=self.hidden_channels))

    def fusion(self, is_top_down: bool) -> nn.Module:
        num_blocks, expansion, norm_cfg, act_cfg = self.block_options
        channels = self.hidden_channels
        kind = self.top_down_type if is_top_down else RepELAN
        return kind(self.joined * channels, channels, num_blocks, int(expansion * channels // 2), norm_cfg, act_cfg)
