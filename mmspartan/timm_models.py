"""SpaRTAN by the names of timm: ``import mmspartan.timm_models``, then ``timm.create_model('spartan_t')``.

``features_only=True`` gives the four stages. Weights have the names of the ImageNet classifiers of MMPretrain, so that
``checkpoint_path`` of a classifier takes a checkpoint of ``configs/spartan_*_in1k.py``.
"""

from collections.abc import Callable, Sequence
from typing import Any

from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.layers import ClassifierHead
from timm.models import build_model_with_cfg, register_model
from torch import Tensor, nn

from .model_hub import init_quietly
from .spartan.backbone import ARCHS, SpaRTAN

# What timm knows of a model whose weights it cannot download.
WITHOUT_WEIGHTS = dict(
    url='',
    num_classes=1000,
    input_size=(3, 224, 224),
    mean=IMAGENET_DEFAULT_MEAN,
    std=IMAGENET_DEFAULT_STD,
    interpolation='bilinear',
    first_conv='backbone.patch_embeds.0.0.conv',
    classifier='head.fc',
)


class TimmSpaRTAN(nn.Module):
    """A classifier as timm has them.

    Args:
        num_classes (int): 0 for pooled features instead of scores.
        in_chans (int): Channels of the image.
        drop_rate (float): Dropout before the classifier.
        global_pool (str): ``'avg'``, ``'max'`` and others of timm; ``''`` for features that are not pooled.
        kwargs: Of :class:`~mmspartan.spartan.backbone.SpaRTAN`.

    Shape: ``(B, in_chans, H, W)`` to ``(B, num_classes)``.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        in_chans: int = 3,
        drop_rate: float = 0.0,
        global_pool: str = 'avg',
        **kwargs: Any,
    ):
        super().__init__()
        self.backbone = SpaRTAN(in_channels=in_chans, out_indices=(0, 1, 2, 3), **kwargs)
        init_quietly(self.backbone)
        channels = self.backbone.out_channels
        self.feature_info = [
            dict(num_chs=c, reduction=4 * 2**i, module=f'backbone.stages.{i}') for i, c in enumerate(channels)
        ]
        self.num_classes, self.num_features, self.head_hidden_size = num_classes, channels[-1], channels[-1]
        self.head = ClassifierHead(channels[-1], num_classes, pool_type=global_pool, drop_rate=drop_rate)

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        self.backbone.with_cp = enable

    def get_classifier(self) -> nn.Module:
        return self.head.fc

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        self.num_classes = num_classes
        self.head.reset(num_classes, global_pool)

    def forward_features(self, x: Tensor) -> Tensor:
        return self.backbone(x)[-1]

    def forward_intermediates(
        self, x: Tensor, indices: int | Sequence[int] | None = None, intermediates_only: bool = False, **_: Any
    ) -> list[Tensor] | tuple[Tensor, list[Tensor]]:
        """The features of the stages ``indices``, or of so many last stages, alone or after those of the last stage."""
        features = self.backbone(x)
        stages = range(4) if indices is None else range(4 - indices, 4) if isinstance(indices, int) else indices
        chosen = [features[i] for i in stages]
        return chosen if intermediates_only else (features[-1], chosen)

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        return self.head(x, pre_logits=pre_logits)

    def forward(self, x: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(x))


def _entry(arch: str) -> Callable:
    def create(pretrained: bool = False, **kwargs: Any) -> nn.Module:
        features = dict(feature_cls='getter', out_indices=(0, 1, 2, 3))
        kwargs['pretrained_cfg'] = kwargs.get('pretrained_cfg') or WITHOUT_WEIGHTS
        return build_model_with_cfg(TimmSpaRTAN, create.__name__, pretrained, feature_cfg=features, arch=arch, **kwargs)

    create.__name__, create.__module__ = f'spartan_{arch}', __name__
    return create


for _arch in ARCHS:
    register_model(_entry(_arch))
