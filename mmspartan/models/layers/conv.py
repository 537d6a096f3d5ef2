"""Convolutions of SpaRTAN: conv-norm-act (paper Sec. III-D) and the modulated convolution of the CMixer (Eq. 9)."""

import torch
from mmcv.cnn import build_activation_layer, build_norm_layer
from mmengine.registry import MODELS
from mmengine.utils.dl_utils.parrots_wrapper import _BatchNorm
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.models.convnext import LayerNorm2d

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

    @torch.no_grad()
    def switch_to_deploy(self) -> None:
        """Fold batch normalization into the convolution; other kinds of normalization stay."""
        refuse_training(self)
        if isinstance(getattr(self, 'norm', None), _BatchNorm):
            self.conv = fuse_conv_bn_eval(self.conv, self.norm)
            del self.norm
        if isinstance(self.conv, ModulatedConv2d):
            self.conv = self.conv.plain()


def refuse_training(module: nn.Module) -> None:
    """
    Raises:
        RuntimeError: In training mode, where outputs depend on the batch and weights have yet to change.
    """
    if module.training:
        raise RuntimeError(
            f'{type(module).__name__}.switch_to_deploy: call eval() first. The way back is to build the model anew and '
            'load the checkpoint that was trained.'
        )


class ModulatedConv2d(nn.Conv2d):
    """Bias-free convolution of channel pairs that a learnt complex weight has turned and scaled (paper Eq. 9).

    Channels ``(2k, 2k + 1)`` are the real and the imaginary part of one wave; they are multiplied by ``a_k + i b_k``
    and then convolved. The authors build a complex64 tensor of the size of the activations. Both steps are linear, so
    here none is needed: where a group of the convolution holds whole pairs, the complex weights go into the
    convolution's weights; elsewhere (depthwise kernels) the pairs are combined by two real multiply-adds.

    Args:
        channels (int): Input and output channels; even.
        groups (int): Groups of the convolution.

    Shape: ``(B, channels, H, W)`` to the same.
    """

    def __init__(self, channels: int, kernel_size: int, groups: int):
        super().__init__(channels, channels, kernel_size, padding=kernel_size // 2, groups=groups, bias=False)
        self.complex_weight = nn.Parameter(torch.randn(channels // 2, 2))  # (a_k, b_k)

    def forward(self, x: Tensor) -> Tensor:
        if self.weight.shape[1] % 2 == 0:
            return self._conv_forward(x, self.modulated_weight(), self.bias)
        return super().forward(self.modulate(x))

    @torch.no_grad()
    def plain(self) -> nn.Conv2d:
        """The same as an ordinary convolution; itself where a group holds less than a pair."""
        if self.weight.shape[1] % 2:
            return self
        conv = nn.Conv2d(
            self.in_channels,
            self.out_channels,
            self.kernel_size,
            padding=self.padding,
            groups=self.groups,
            bias=self.bias is not None,
            device=self.weight.device,
            dtype=self.weight.dtype,
        )
        conv.weight.copy_(self.modulated_weight())
        if self.bias is not None:
            conv.bias.copy_(self.bias)
        return conv.train(self.training)

    def modulate(self, x: Tensor) -> Tensor:
        """Multiply each pair of channels of ``x`` ``(B, C, H, W)`` by its complex weight."""
        a, b = self.complex_weight.to(x.dtype).unbind(1)
        a = torch.stack([a, a], 1).view(-1, 1, 1)
        b = torch.stack([-b, b], 1).view(-1, 1, 1)
        # flip keeps the memory format, where stacking new real and imaginary parts would lose channels_last
        swapped = x.unflatten(1, (-1, 2)).flip(2).flatten(1, 2)
        return torch.addcmul(x * a, swapped, b)

    def modulated_weight(self) -> Tensor:
        """The kernel ``(C, C / groups, k, k)`` that applies complex weights and convolution at once."""
        groups, pairs = self.groups, self.weight.shape[1] // 2
        weight = self.weight.unflatten(0, (groups, -1)).unflatten(2, (pairs, 2))  # (groups, out, pairs, 2, k, k)
        a, b = self.complex_weight.view(groups, 1, pairs, 2, 1, 1).unbind(3)
        real, imag = weight.unbind(3)
        return torch.stack([a * real + b * imag, a * imag - b * real], 3).flatten(2, 3).flatten(0, 1)
