"""Fusion block of RT-DETR's encoder: a CSP block of RepVGG blocks (RT-DETR, arXiv 2304.08069, Fig. 4)."""

import torch
from mmcv.cnn import build_activation_layer
from torch import Tensor, nn
from torch.nn.functional import interpolate

from .conv import ConvNormAct
from .deploy import refuse_training
from .inference_conv import PackedConv2d
from .split_projection import SplitProjection


class RepVGGBlock(nn.Module):
    """``act(BN(conv3x3(x)) + BN(conv1x1(x)))``; one 3x3 convolution after :meth:`switch_to_deploy`.

    Shape: ``(B, channels, H, W)`` to the same.
    """

    def __init__(self, channels: int, norm_cfg: dict, act_cfg: dict):
        super().__init__()
        self.conv3 = ConvNormAct(nn.Conv2d(channels, channels, 3, padding=1, bias=False), norm_cfg, None)
        self.conv1 = ConvNormAct(nn.Conv2d(channels, channels, 1, bias=False), norm_cfg, None)
        self.act = build_activation_layer(act_cfg)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.conv3(x) + self.conv1(x)) if hasattr(self, 'conv1') else self.conv3(x)

    @torch.no_grad()
    def switch_to_deploy(self) -> None:
        """Fold both branches and their batch normalization into one convolution; not reversible.

        Raises:
            RuntimeError: In training mode, where batch statistics are used.
        """
        refuse_training(self)
        if not hasattr(self, 'conv1'):
            return
        branches = (self.conv3, self.conv1)
        for branch in branches:
            branch.switch_to_deploy()
        if not all(branch.is_one_convolution() for branch in branches):
            return
        fused, other = (branch.conv for branch in branches)
        fused.weight.add_(nn.functional.pad(other.weight, [1, 1, 1, 1]))
        fused.bias.add_(other.bias)
        self.conv3 = PackedConv2d(fused, self.act)
        del self.conv1, self.act


class CSPRepLayer(nn.Module):
    """Two 1x1 branches, RepVGG blocks on one of them, summed.

    Args:
        in_channels, out_channels (int): Channels.
        num_blocks (int): RepVGG blocks.
        expansion (float): Width of the branches, as a fraction of ``out_channels``.

    Shape: ``(B, in_channels, H, W)`` to ``(B, out_channels, H, W)``.
    """

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

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        if isinstance(self.conv1, SplitProjection):
            return self.conv3(self.blocks(self.conv1(coarse, fine)) + self.conv2(coarse, fine))
        upsampled = interpolate(coarse, size=fine.shape[-2:], mode='nearest')
        return super().forward(torch.cat([upsampled, fine], dim=1))

    def absorb(self, before: nn.Conv2d) -> None:
        """Take over the 1x1 convolution that makes the finer map, for inference; all is folded already."""
        self.conv1, self.conv2 = (SplitProjection(branch.conv, before) for branch in (self.conv1, self.conv2))
