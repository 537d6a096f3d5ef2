"""RT-DETR (Zhao et al., CVPR 2024, arXiv 2304.08069) for MMDetection 3.x."""

from .copy_blend import BatchCopyBlend
from .detector import RTDETR
from .encoder import HybridEncoder
from .head import RTDETRHead
from .matching_aware_loss import MatchabilityAwareLoss
from .mix_up import BatchMixUp
from .multi_scale import BatchRandomChoiceResize
from .resnet_vd import ResNetVD
from .varifocal_loss import IoUVarifocalLoss

__all__ = [
    'RTDETR',
    'BatchCopyBlend',
    'BatchMixUp',
    'BatchRandomChoiceResize',
    'HybridEncoder',
    'IoUVarifocalLoss',
    'MatchabilityAwareLoss',
    'RTDETRHead',
    'ResNetVD',
]
