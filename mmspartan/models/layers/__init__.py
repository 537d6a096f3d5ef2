from .cmixer import CMixer, MLPCMixer
from .conv import ConvNormAct, ModulatedConv2d
from .init import GroupedFanOutInit
from .recompute import recompute
from .smixer import ConvSMixer, SMixer

__all__ = [
    'CMixer',
    'ConvNormAct',
    'ConvSMixer',
    'GroupedFanOutInit',
    'MLPCMixer',
    'ModulatedConv2d',
    'SMixer',
    'recompute',
]
