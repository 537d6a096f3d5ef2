"""ResNet-vd, the backbone of RT-DETR's baselines (authors' rtdetr_pytorch, PResNet variant d)."""

from collections.abc import Sequence

from mmcv.cnn import build_norm_layer
from mmdet.models.backbones import ResNetV1d
from mmdet.models.backbones.resnet import BasicBlock
from mmengine.registry import MODELS
from torch import nn

from ..checks import check_choices, check_integers, is_integer, refuse


@MODELS.register_module()
class ResNetVD(ResNetV1d):
    """mmdet's ``ResNetV1d``, with a convolution in the shortcut of the first block for depths 18 and 34.

    mmdet's has an identity there, since channels and size do not change.

    Args:
        depth (int): 18, 34, 50, 101 or 152.
        out_indices (Sequence[int]): Stages whose output is returned, 0 to 3 (strides 4, 8, 16, 32). Defaults to all.
        frozen_stages (int): Number of stages without gradient, -1 to 4; 0 freezes only the stem. Defaults to -1, none.
        **kwargs: Further arguments of mmdet's ``ResNetV1d``.

    Raises:
        ValueError: If ``depth``, ``out_indices`` or ``frozen_stages`` is out of its range.
    """

    def __init__(self, depth: int, out_indices: Sequence[int] = (0, 1, 2, 3), frozen_stages: int = -1, **kwargs):
        check_choices('ResNetVD', self.arch_settings, depth=depth)
        check_integers('ResNetVD', -1, 4, frozen_stages=frozen_stages)
        stages = kwargs.get('num_stages', 4)
        if (
            not isinstance(out_indices, Sequence)
            or not out_indices
            or not all(is_integer(i, 0, stages - 1) for i in out_indices)
        ):
            refuse('ResNetVD', 'out_indices', f'integers in 0..{stages - 1}', out_indices)
        super().__init__(depth=depth, out_indices=out_indices, frozen_stages=frozen_stages, **kwargs)
        if self.block is BasicBlock:
            # the other stages have an average pooling in place of the identity
            self.layer1[0].downsample = nn.Sequential(
                nn.Identity(),
                nn.Conv2d(self.stem_channels, 64, 1, bias=False),
                build_norm_layer(self.norm_cfg, 64)[1],
            )
            self._freeze_stages()
