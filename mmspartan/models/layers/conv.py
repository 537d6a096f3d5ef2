"""Convolutions of SpaRTAN: conv-norm-act (paper Sec. III-D) and the modulated convolution of the CMixer (Eq. 9)."""

import torch
from mmcv.cnn import build_activation_layer, build_norm_layer
from mmengine.registry import MODELS
from mmengine.utils.dl_utils.parrots_wrapper import _BatchNorm
from torch import Tensor, nn
from torch.nn.functional import conv2d
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.models.convnext import LayerNorm2d

from .deploy import refuse_training
from .inference_conv import PackedConv2d
from .lean import norm_act
from .memory_format import swap_pairs

# LayerNorm over the channels of each position, which Table VII compares with BatchNorm. mmpretrain has one too (LN2d),
# but a detection project may not have mmpretrain.
MODELS.register_module('ChannelLN', module=LayerNorm2d)


class ConvNormAct(nn.Sequential):
    """Convolution, normalization, activation; the last two only where a config is given.

    Args:
        conv (nn.Conv2d): The convolution.
        norm_cfg (dict, optional): Normalization as mmcv's ``build_norm_layer`` takes it.
        act_cfg (dict, optional): Activation as mmcv's ``build_activation_layer`` takes it.
    """

    def __init__(self, conv: nn.Conv2d, norm_cfg: dict | None, act_cfg: dict | None):
        super().__init__()
        self.conv = conv
        if norm_cfg is not None:
            self.norm = build_norm_layer(norm_cfg, conv.out_channels)[1]
        if act_cfg is not None:
            self.act = build_activation_layer(act_cfg)

    def forward(self, x: Tensor) -> Tensor:
        conv, *rest = self
        if len(rest) == 2:
            return norm_act(conv(x), *rest)
        return rest[0](conv(x)) if rest else conv(x)

    @torch.no_grad()
    def switch_to_deploy(self) -> None:
        """Fold batch normalization and activation into the convolution; other kinds of normalization stay."""
        refuse_training(self)
        if isinstance(getattr(self, 'norm', None), _BatchNorm):
            self.conv = fuse_conv_bn_eval(self.conv, self.norm)
            del self.norm
        if isinstance(self.conv, ModulatedConv2d):
            self.conv = self.conv.plain()
        if hasattr(self, 'norm') or isinstance(self.conv, ModulatedConv2d | PackedConv2d):
            return
        self.conv = PackedConv2d(self.conv, getattr(self, 'act', None))
        if hasattr(self, 'act'):
            del self.act

    def is_one_convolution(self) -> bool:
        """Whether all is folded into a convolution with a bias."""
        return isinstance(self.conv, PackedConv2d) and self.conv.bias is not None


class ModulatedConv2d(nn.Conv2d):
    """Bias-free convolution of channel pairs that a learnt complex weight has turned and scaled (paper Eq. 9).

    Channels ``(2k, 2k + 1)`` are the real and the imaginary part of one wave; they are multiplied by ``a_k + i b_k``
    and then convolved. The authors build a complex64 tensor of the size of the activations. Both steps are linear, so
    here none is needed: the complex weights go into the convolution's weights, of which a group then holds whole pairs.
    Where it does not by itself (depthwise kernels), that doubles the multiply-adds of this convolution; while training
    it still costs less than the passes over memory of combining the pairs before, which evaluation does.

    Args:
        channels (int): Input and output channels; even.
        groups (int): Groups of the convolution.

    Shape: ``(B, channels, H, W)`` to the same.
    """

    def __init__(self, channels: int, kernel_size: int, groups: int):
        super().__init__(channels, channels, kernel_size, padding=kernel_size // 2, groups=groups, bias=False)
        self.complex_weight = nn.Parameter(torch.randn(channels // 2, 2))  # (a_k, b_k)

    def forward(self, x: Tensor) -> Tensor:
        inputs = self.weight.shape[1]
        if inputs % 2 == 0 or (inputs == 1 and self.training):
            weight = self.modulated_weight()
            if weight.shape[1] == 2 and self.training and x.device.type == 'cpu':
                return pair_conv(x, weight)
            return conv2d(x, weight, self.bias, padding=self.padding, groups=self.in_channels // weight.shape[1])
        return super().forward(self.modulate(x))

    @torch.no_grad()
    def plain(self) -> nn.Conv2d:
        """The same as an ordinary convolution; itself where a group holds an odd number of channels above one."""
        if self.weight.shape[1] % 2 and self.weight.shape[1] > 1:
            return self
        weight = self.modulated_weight()
        return grouped_conv(weight, self.bias, self.in_channels // weight.shape[1]).train(self.training)

    def modulate(self, x: Tensor) -> Tensor:
        """Multiply each pair of channels of ``x`` ``(B, C, H, W)`` by its complex weight."""
        a, b = self.complex_weight.to(x.dtype).unbind(1)
        a = torch.stack([a, a], 1).view(-1, 1, 1)
        b = torch.stack([-b, b], 1).view(-1, 1, 1)
        return torch.addcmul(x * a, swap_pairs(x), b)

    def modulated_weight(self) -> Tensor:
        """The kernel ``(C, C / groups, k, k)`` that applies complex weights and convolution at once.

        Of a depthwise convolution ``(C, 2, k, k)``, with half as many groups.
        """
        weight, groups = self.weight, self.groups
        if weight.shape[1] == 1:
            groups //= 2
            own = torch.eye(2, dtype=weight.dtype, device=weight.device)[..., None, None]  # each its own channel alone
            weight = (weight.unflatten(0, (groups, 2)) * own).flatten(0, 1)
        pairs = weight.shape[1] // 2
        weight = weight.unflatten(0, (groups, -1)).unflatten(2, (pairs, 2))  # (groups, out, pairs, 2, k, k)
        a, b = self.complex_weight.view(groups, 1, pairs, 2, 1, 1).unbind(3)
        real, imag = weight.unbind(3)
        return torch.stack([a * real + b * imag, a * imag - b * real], 3).flatten(2, 3).flatten(0, 1)


def pair_conv(x: Tensor, weight: Tensor) -> Tensor:
    """Convolution of groups of two channels as two depthwise ones, of which CPUs have kernels, for all their passes.

    Args:
        x (Tensor): ``(B, C, H, W)``.
        weight (Tensor): ``(C, 2, k, k)``.

    Returns:
        Tensor: ``(B, C, H, W)``.
    """
    options = dict(padding=weight.shape[-1] // 2, groups=len(weight))
    pairs = weight.unflatten(0, (-1, 2))  # (C / 2, out, in, k, k)
    to_itself = torch.stack([pairs[:, 0, 0], pairs[:, 1, 1]], 1).flatten(0, 1)[:, None]
    to_other = torch.stack([pairs[:, 1, 0], pairs[:, 0, 1]], 1).flatten(0, 1)[:, None]
    # results change places and not x, of which another copy would be kept for the backward pass
    return conv2d(x, to_itself, **options).add_(swap_pairs(conv2d(x, to_other, **options)))


def grouped_conv(weight: Tensor, bias: Tensor | None, groups: int) -> nn.Conv2d:
    """The convolution of this kernel ``(out, in / groups, k, k)`` that keeps the size."""
    channels, inputs, size, _ = weight.shape
    conv = nn.Conv2d(inputs * groups, channels, size, padding=size // 2, groups=groups, bias=bias is not None)
    conv.weight = nn.Parameter(weight)
    if bias is not None:
        conv.bias = nn.Parameter(bias)
    return conv
