"""The mixers that Table IV compares with SMixer and CMixer."""

from mmcv.cnn import build_activation_layer
from mmengine.registry import MODELS
from torch import nn
from torchvision.ops import SqueezeExcitation

from ..checks import check_flags, check_integers, check_multiples
from ..nn.conv_norm_act import ConvNormAct


@MODELS.register_module()
class ConvSMixer(ConvNormAct):
    """A 3x3 convolution with normalization and activation in place of the SMixer.

    Takes the arguments of :class:`~mmspartan.spartan.smixer.SMixer` but ``kernel_size``.

    Shape: ``(B, C, H, W)`` to the same.
    """

    def __init__(self, channels: int, depthwise: bool, norm_cfg: dict, act_cfg: dict):
        check_integers('ConvSMixer', channels=channels)
        check_flags('ConvSMixer', depthwise=depthwise)
        groups = channels if depthwise else 1
        super().__init__(nn.Conv2d(channels, channels, 3, padding=1, groups=groups, bias=False), norm_cfg, act_cfg)


@MODELS.register_module()
class MLPCMixer(nn.Sequential):
    """A pointwise MLP in place of the CMixer, with squeeze-and-excitation if ``se``.

    Takes the arguments of :class:`~mmspartan.spartan.cmixer.CMixer` and ``se`` (bool); ``groups`` and ``norm_cfg`` do
    not apply to it.

    Shape: ``(B, C, H, W)`` to the same.
    """

    def __init__(self, channels: int, expand_ratio: int, groups: int, norm_cfg: dict, act_cfg: dict, se: bool = False):
        check_multiples('MLPCMixer', 4, channels=channels)
        check_integers('MLPCMixer', expand_ratio=expand_ratio)
        check_flags('MLPCMixer', se=se)
        hidden = channels * expand_ratio
        super().__init__(nn.Conv2d(channels, hidden, 1), build_activation_layer(act_cfg))
        if se:
            self.append(SqueezeExcitation(hidden, channels // 4))
        self.append(nn.Conv2d(hidden, channels, 1))
