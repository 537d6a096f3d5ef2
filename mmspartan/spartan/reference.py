"""SpaRTAN as a reader of the paper (Sec. III) would write it down first: complex tensors, one module for one symbol.

What ``mmspartan`` is compared with, in value (``test_reference.py``) and in cost (``tools/analysis_tools/``).
Names of the parameters are those of the authors' checkpoints.
"""

from collections import OrderedDict

import torch
from torch import Tensor, nn


class ConvNormAct(nn.Module):
    def __init__(self, conv: nn.Conv2d, act: nn.Module):
        super().__init__()
        self.conv = conv
        self.norm = nn.BatchNorm2d(conv.out_channels, eps=1e-6)
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.norm(self.conv(x)))


class ChannelAttention(nn.Module):
    def __init__(self, channels: int, squeezed: int):
        super().__init__()
        self.squeeze = nn.Conv2d(channels, squeezed, 1)
        self.expand = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.expand(self.squeeze(x.mean((2, 3), keepdim=True)).relu()).sigmoid()


class SMixer(nn.Module):
    def __init__(self, channels: int, depthwise: bool):
        super().__init__()
        width = channels // 2
        groups = width if depthwise else 1

        def conv(dilation: int) -> nn.Conv2d:
            return nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation, groups=groups, bias=False)

        self.proj_in = nn.Conv2d(channels, width, 1)
        self.gamma = nn.Parameter(torch.full((1, width, 1, 1), 1e-5))
        self.h_conv = ConvNormAct(conv(1), nn.GELU())
        first = nn.Sequential(OrderedDict(conv=conv(2)))  # without normalization and activation
        self.l_conv = nn.Sequential(first, ConvNormAct(conv(2), nn.GELU()))
        self.h_attn = ChannelAttention(width, width // 4)
        self.l_attn = ChannelAttention(width, width // 4)
        self.proj_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.proj_in(x)
        x = x + self.gamma * (x - x.mean((2, 3), keepdim=True))
        high = self.h_attn(self.h_conv(x))
        low = self.l_attn(self.l_conv(x))
        return self.proj_out(torch.cat([high, low], 1))


class CMixer(nn.Module):
    def __init__(self, channels: int, expand_ratio: int, depthwise: bool):
        super().__init__()
        hidden = channels * expand_ratio
        self.theta = nn.Conv2d(channels, hidden, 1)
        self.proj = nn.Conv2d(channels, hidden, 1)
        self.complex = nn.Parameter(torch.randn(1, 1, 1, hidden // 2, 2))
        groups = channels if depthwise else hidden
        self.conv = ConvNormAct(nn.Conv2d(hidden, hidden, 3, padding=1, groups=groups, bias=False), nn.GELU())
        self.attn = ChannelAttention(hidden, channels // 4)
        self.proj_out = nn.Conv2d(hidden, channels, 1)
        self.act = nn.GELU()

    def forward(self, x: Tensor) -> Tensor:
        theta, amplitude = self.act(self.theta(x)), self.proj(x)
        strongest = x.argmax(1, keepdim=True)
        wave = amplitude * theta + amplitude.gather(1, strongest) * theta.gather(1, strongest)
        dtype = torch.promote_types(wave.dtype, torch.float32)  # of which there are complex numbers
        weight = torch.view_as_complex(self.complex.to(dtype)).view(1, -1, 1, 1)
        modulated = torch.complex(wave[:, 0::2].to(dtype), wave[:, 1::2].to(dtype)) * weight
        wave = torch.stack([modulated.real, modulated.imag], 2).flatten(1, 2).to(wave.dtype)
        return self.proj_out(self.attn(self.conv(wave)))


class Block(nn.Module):
    def __init__(self, channels: int, expand_ratio: int, depthwise: bool):
        super().__init__()
        self.norm_1 = nn.GroupNorm(1, channels, eps=1e-6)
        self.smixer = SMixer(channels, depthwise)
        self.scale_1 = nn.Parameter(torch.full((1, channels, 1, 1), 1e-5))
        self.norm_2 = nn.GroupNorm(1, channels, eps=1e-6)
        self.cmixer = CMixer(channels, expand_ratio, depthwise)
        self.scale_2 = nn.Parameter(torch.full((1, channels, 1, 1), 1e-5))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.scale_1 * self.smixer(self.norm_1(x))
        return x + self.scale_2 * self.cmixer(self.norm_2(x))


class ReferenceSpaRTAN(nn.Module):
    """SpaRTAN of the hybrid kind with its classifier, without stochastic depth: ``(B, 3, H, W)`` to logits.

    Args:
        channels, depths, expand_ratios: Of the four stages, as in ``mmspartan``'s ``ARCHS``.
    """

    def __init__(self, channels, depths, expand_ratios, num_classes: int = 1000):
        super().__init__()
        first = channels[0]
        self.conv = nn.Sequential(
            ConvNormAct(nn.Conv2d(3, first // 2, 3, stride=2, padding=1, bias=False), nn.GELU()),
            ConvNormAct(nn.Conv2d(first // 2, first, 3, stride=2, padding=1, bias=False), nn.GELU()),
        )
        layers: list[nn.Module] = []
        for i, (width, depth, ratio) in enumerate(zip(channels, depths, expand_ratios)):
            if i:
                layers.append(ConvNormAct(nn.Conv2d(channels[i - 1], width, 2, stride=2, bias=False), nn.SiLU()))
            layers += [Block(width, ratio, depthwise=i >= 2) for _ in range(depth)]
        self.layers = nn.Sequential(*layers)
        self.linear = nn.Linear(channels[-1], num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.layers(self.conv(x)).mean((2, 3)))
