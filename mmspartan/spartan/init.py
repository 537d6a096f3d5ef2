"""Initialization of the authors' implementation."""

import math

from mmengine.model import BaseInit, update_init_info
from mmengine.registry import WEIGHT_INITIALIZERS
from torch import nn


@WEIGHT_INITIALIZERS.register_module('GroupedFanOut')
class GroupedFanOutInit(BaseInit):
    """Convolutions from N(0, 2 / fan_out) with the fan-out of one group, k * k * out / groups; biases 0.

    mmengine's ``Kaiming`` counts the outputs of all groups.
    """

    def __call__(self, module: nn.Module) -> None:
        for conv in module.modules():
            if isinstance(conv, nn.Conv2d):
                fan_out = math.prod(conv.kernel_size) * conv.out_channels // conv.groups
                nn.init.normal_(conv.weight, 0, math.sqrt(2 / fan_out))
                if conv.bias is not None:
                    nn.init.zeros_(conv.bias)
        if hasattr(module, '_params_init_info'):
            update_init_info(module, init_info='GroupedFanOutInit: N(0, 2 / (k * k * out / groups)), bias=0')
