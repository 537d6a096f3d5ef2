"""The backbone needs mmcv alone; the detector is there if mmdet is installed."""

import warnings
from importlib.util import find_spec

from .backbones import SpaRTAN

__all__ = ['SpaRTAN']

if find_spec('mmdet') is not None:
    try:
        from ..datasets.coco import CheckedCocoDataset
        from ..evaluation import CheckedCocoMetric, FasterCocoMetric
        from .backbones.resnet_vd import ResNetVD
        from .data_preprocessors import BatchRandomChoiceResize
        from .dense_heads import RTDETRHead
        from .detectors import RTDETR
        from .losses import IoUVarifocalLoss
        from .necks import HybridEncoder

        __all__ += [
            'RTDETR',
            'BatchRandomChoiceResize',
            'CheckedCocoDataset',
            'CheckedCocoMetric',
            'FasterCocoMetric',
            'HybridEncoder',
            'IoUVarifocalLoss',
            'RTDETRHead',
            'ResNetVD',
        ]
    except Exception as error:  # mmdet asserts versions and imports much; a classifier does not depend on it
        warnings.warn(f'mmdet is installed but does not import, so RT-DETR is not there: {error}', stacklevel=2)
