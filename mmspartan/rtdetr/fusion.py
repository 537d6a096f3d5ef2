"""Fusion block of RT-DETR's encoder: a CSP block of RepVGG blocks (RT-DETR, arXiv 2304.08069, Fig. 4)."""

import torch
from mmcv.cnn import build_activation_layer
from torch import Tensor, nn
from torch.nn.functional import interpolate

from ..nn.conv_norm_act import ConvNormAct


class RepVGGBlock(nn.Module):
    """``act(BN(conv3x3(x)) + BN(conv1x1(x)))``, which can be folded into one 3x3 convolution.

    Shape: ``(B, channels, H, W)`` to the same.
    """

    def __init__(self, channels: int, norm_cfg: dict, act_cfg: dict):
        super().__init__()
        self.conv3 = ConvNormAct(nn.Conv2d(channels, channels, 3, padding=1, bias=False), norm_cfg, None)
        self.conv1 = ConvNormAct(nn.Conv2d(channels, channels, 1, bias=False), norm_cfg, None)
        self.act = build_activation_layer(act_cfg)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.conv3(x) + self.conv1(x))


class CSPRepLayer(nn.Module):
    """Two 1x1 branches, RepVGG blocks on one of them, summed.

    Args:
        in_channels, out_channels (int): Input and output channels.
        num_blocks (int): Number of RepVGG blocks.
        expansion (float): Channels of the branches, relative to ``out_channels``.
        norm_cfg, act_cfg (dict): Normalization and activation after convolutions.

    Shape: ``(B, in_channels, H, W)`` to ``(B, out_channels, H, W)``.
    """

    is_region = True  # of regional compilation

    def __init__(
        self, in_channels: int, out_channels: int, num_blocks: int, expansion: float, norm_cfg: dict, act_cfg: dict
    ):
        super().__init__()
        hidden = int(out_channels * expansion)
        self.conv1 = ConvNormAct(nn.Conv2d(in_channels, hidden, 1, bias=False), norm_cfg, act_cfg)
        self.conv2 = ConvNormAct(nn.Conv2d(in_channels, hidden, 1, bias=False), norm_cfg, act_cfg)
        self.blocks = nn.Sequential(*(RepVGGBlock(hidden, norm_cfg, act_cfg) for _ in range(num_blocks)))
        self.conv3 = (
            nn.Identity()
            if hidden == out_channels
            else ConvNormAct(nn.Conv2d(hidden, out_channels, 1, bias=False), norm_cfg, act_cfg)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.conv3(self.blocks(self.conv1(x)) + self.conv2(x))


class TopDownFusion(CSPRepLayer):
    """A :class:`CSPRepLayer` over a coarse feature map, upsampled, and a finer one.

    Shape: ``(B, C, H, W)`` and ``(B, C, H', W')`` to ``(B, out_channels, H', W')``.
    """

    entries = ('conv1', 'conv2')  # what reads both maps
    # Whether they are folded to take both maps without their concatenation.
    is_split = False

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:  # type: ignore[override] # two feature maps
        if self.is_split:
            return self.conv3(self.blocks(self.conv1(coarse, fine)) + self.conv2(coarse, fine))
        return super().forward(upsample_and_join(coarse, fine))


def upsample_and_join(coarse: Tensor, fine: Tensor) -> Tensor:
    """Return the concatenation of a feature map, upsampled by its nearest positions, and a finer one."""
    return torch.cat([interpolate(coarse, size=fine.shape[-2:], mode='nearest'), fine], dim=1)
