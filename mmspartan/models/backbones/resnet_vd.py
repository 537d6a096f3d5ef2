"""ResNet-vd as RT-DETR's baselines have it (authors' rtdetr_pytorch, PResNet variant d)."""

from mmcv.cnn import build_norm_layer
from mmdet.models.backbones import ResNetV1d
from mmdet.models.backbones.resnet import BasicBlock
from mmengine.registry import MODELS
from torch import nn


@MODELS.register_module()
class ResNetVD(ResNetV1d):
    """mmdet's ``ResNetV1d``; for depths 18 and 34 with a convolution in the shortcut of the very first block.

    Stock ``ResNetV1d`` has an identity there, since channels and size do not change.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        if self.block is BasicBlock:
            # as in the other stages, where an average pooling comes first
            self.layer1[0].downsample = nn.Sequential(
                nn.Identity(),
                nn.Conv2d(self.stem_channels, 64, 1, bias=False),
                build_norm_layer(self.norm_cfg, 64)[1],
            )
            self._freeze_stages()
