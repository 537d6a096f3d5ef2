"""Convolution, normalization and activation (paper Sec. III-D)."""

from mmcv.cnn import build_activation_layer, build_norm_layer
from mmengine.registry import MODELS
from torch import Tensor, nn
from torchvision.models.convnext import LayerNorm2d

from ..ops.norm_act import norm_act

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
        if 'norm' in self._modules and 'act' in self._modules:
            return norm_act(self.conv(x), self.norm, self.act)
        return super().forward(x)
