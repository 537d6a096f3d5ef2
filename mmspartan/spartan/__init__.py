"""SpaRTAN as the paper describes it (Pay et al., IJCNN 2025), on PyTorch, torchvision, mmengine and mmcv."""

from .backbone import ARCHS, SpaRTAN
from .baselines import ConvSMixer, MLPCMixer
from .cmixer import CMixer
from .init import GroupedFanOutInit
from .smixer import SMixer

__all__ = ['ARCHS', 'CMixer', 'ConvSMixer', 'GroupedFanOutInit', 'MLPCMixer', 'SMixer', 'SpaRTAN']
