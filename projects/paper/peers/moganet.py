"""MogaNet (Li et al., ICLR 2024, arXiv 2211.03295) as a peer of Table II.

The paper's Sec. 4 and its table of architectures. What they leave open is as in the authors' code, Westlake-AI/MogaNet
(Apache-2.0): 3x3 kernels in all patch embeddings, biases in all convolutions, BatchNorm after each stage.
"""

import torch
from mmcv.cnn.bricks import DropPath
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor, nn

# Channels of the four stages, blocks of each, expansion of their feed-forward networks.
ARCHS = {'xt': dict(channels=(32, 64, 96, 192), depths=(3, 3, 10, 2), ffn_ratios=(8, 8, 4, 4))}


def depthwise(channels: int, kernel_size: int, dilation: int = 1) -> nn.Conv2d:
    padding = dilation * (kernel_size // 2)
    return nn.Conv2d(channels, channels, kernel_size, padding=padding, dilation=dilation, groups=channels)


class MultiOrderConv(nn.Module):
    """Depthwise 5x5 convolution, then dilated ones over 3/8 and 4/8 of the channels, then a pointwise one.

    Shape: ``(B, C, H, W)`` to the same, C a multiple of 8.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.split = [channels // 8, channels * 3 // 8, channels // 2]
        self.low = depthwise(channels, 5)
        self.middle = depthwise(self.split[1], 5, dilation=2)
        self.high = depthwise(self.split[2], 7, dilation=3)
        self.proj = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        low, middle, high = self.low(x).split(self.split, dim=1)
        return self.proj(torch.cat([low, self.middle(middle), self.high(high)], dim=1))


class MultiOrderGatedAggregation(nn.Module):
    """``proj(SiLU(gate(z)) * SiLU(value(z)))`` with ``z = SiLU(y + gamma * (y - GAP(y)))``, ``y = conv1x1(x)``.

    Shape: ``(B, C, H, W)`` to the same. The input is added to the output, besides the block's own shortcut.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.proj_in = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.full((1, channels, 1, 1), 1e-5))
        self.gate = nn.Conv2d(channels, channels, 1)
        self.value = MultiOrderConv(channels)
        self.proj_out = nn.Conv2d(channels, channels, 1)
        self.act = nn.SiLU()

    def forward(self, x: Tensor) -> Tensor:
        y = self.proj_in(x)
        z = self.act(y + self.gamma * (y - y.mean((2, 3), keepdim=True)))
        return x + self.proj_out(self.act(self.gate(z)) * self.act(self.value(z)))


class ChannelAggregation(nn.Module):
    """Feed-forward network with a depthwise convolution and ``z + gamma * (z - GELU(conv1x1(z)))`` over N channels.

    Shape: ``(B, C, H, W)`` to the same.
    """

    def __init__(self, channels: int, ffn_ratio: int):
        super().__init__()
        hidden = channels * ffn_ratio
        self.fc1 = nn.Conv2d(channels, hidden, 1)
        self.conv = depthwise(hidden, 3)
        self.reduce = nn.Conv2d(hidden, 1, 1)
        self.gamma = nn.Parameter(torch.full((1, hidden, 1, 1), 1e-5))
        self.fc2 = nn.Conv2d(hidden, channels, 1)
        self.act = nn.GELU()

    def forward(self, x: Tensor) -> Tensor:
        z = self.act(self.conv(self.fc1(x)))
        return self.fc2(z + self.gamma * (z - self.act(self.reduce(z))))


class MogaBlock(nn.Module):
    """Spatial, then channel aggregation, with BatchNorm before each, LayerScale and stochastic depth.

    Shape: ``(B, channels, H, W)`` to the same.
    """

    def __init__(self, channels: int, ffn_ratio: int, drop_path_rate: float):
        super().__init__()
        self.norm1 = nn.BatchNorm2d(channels)
        self.spatial = MultiOrderGatedAggregation(channels)
        self.scale1 = nn.Parameter(torch.full((1, channels, 1, 1), 1e-5))
        self.norm2 = nn.BatchNorm2d(channels)
        self.channel = ChannelAggregation(channels, ffn_ratio)
        self.scale2 = nn.Parameter(torch.full((1, channels, 1, 1), 1e-5))
        self.drop_path = DropPath(drop_path_rate)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop_path(self.scale1 * self.spatial(self.norm1(x)))
        return x + self.drop_path(self.scale2 * self.channel(self.norm2(x)))


@MODELS.register_module()
class MogaNet(BaseModule):
    """MogaNet backbone for classification.

    Args:
        arch (str): ``'xt'``, the size in Table II.
        drop_path_rate (float): Stochastic depth of the last block; it grows linearly from 0 at the first.
        init_cfg (dict): Initialization. Defaults to ``GroupedFanOut``, which the authors of MogaNet use, too.

    Shape: ``(B, 3, H, W)`` to a tuple of one ``(B, channels[-1], H / 32, W / 32)``.
    """

    def __init__(self, arch: str, drop_path_rate: float = 0.0, init_cfg: dict = dict(type='GroupedFanOut')):
        super().__init__(init_cfg)
        channels, depths, ffn_ratios = (ARCHS[arch][key] for key in ('channels', 'depths', 'ffn_ratios'))
        rates = (drop_path_rate * k / (sum(depths) - 1) for k in range(sum(depths)))
        layers: list[nn.Module] = []
        before = 3
        for i, (width, depth, ffn_ratio) in enumerate(zip(channels, depths, ffn_ratios)):
            if i == 0:  # two halvings
                layers += [*embedding(before, width // 2), nn.GELU()]
                before = width // 2
            layers += embedding(before, width)
            layers += [MogaBlock(width, ffn_ratio, next(rates)) for _ in range(depth)]
            layers += [nn.BatchNorm2d(width)]
            before = width
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> tuple[Tensor]:
        return (self.layers(x),)


def embedding(in_channels: int, out_channels: int) -> list[nn.Module]:
    """Convolution that halves the sides, and BatchNorm."""
    return [nn.Conv2d(in_channels, out_channels, 3, stride=2, padding=1), nn.BatchNorm2d(out_channels)]
