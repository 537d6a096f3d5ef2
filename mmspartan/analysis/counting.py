"""Parameters and multiply-adds of the model of a config, counted as the publications count them."""

import math
from collections import Counter
from functools import partial
from typing import Any

import torch
from mmengine.analysis import FlopAnalyzer
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from ..benchmark.costs import countable
from ..deploy import fold

# Operations that count as one multiply-add for each element of the output, where element-wise operations count.
ELEMENT_WISE = ['add', 'addcmul', 'div', 'gelu', 'mul', 'relu', 'rsub', 'sigmoid', 'silu', 'silu_', 'softmax', 'sub']


def build_counted(cfg: Config) -> nn.Module:
    """Build a config's model in evaluation mode, with multi-branch blocks fused as in the published numbers."""
    init_default_scope(cfg.get('default_scope') or 'mmengine')
    model = MODELS.build(cfg.model).eval()
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if type(child).__name__ == 'RepVGGBlock':
                setattr(parent, name, fold(child))
            elif type(child).__name__ == 'MobileOneBlock':
                child.switch_to_deploy()
    return model


def forward_of(model: nn.Module, size: tuple[int, int]) -> Any:
    """Return the forward pass of a tensor of images, to which mmdet's Deformable DETR wants the sizes of the images."""
    if not hasattr(model, 'pre_transformer'):
        return model.forward
    from mmdet.structures import DetDataSample

    sample = DetDataSample(metainfo=dict(img_shape=size, batch_input_shape=size, pad_shape=size))
    return partial(model.forward, data_samples=[sample])


def operations(model: nn.Module, size: tuple[int, int], element_wise: bool) -> Counter[str]:
    """Return the multiply-adds for an image of ``size`` (height, width) by the name of the operation.

    ``element_wise`` operations are counted on request.
    """
    forward = model.forward
    with countable():
        model.forward = forward_of(model, size)
        try:
            analyzer = FlopAnalyzer(model, torch.zeros(1, 3, *size))
            if element_wise:
                analyzer.set_op_handle(**{f'aten::{name}': one_each for name in ELEMENT_WISE})
            return analyzer.by_operator()
        finally:
            model.forward = forward


def one_each(inputs: list, outputs: list) -> int:
    """Count an element-wise operation as one for each element of its output."""
    return math.prod(outputs[0].type().sizes())


def count(cfg: Config, size: tuple[int, int]) -> tuple[int, float]:
    """Return the parameters and the multiply-adds for an image of ``size`` (height, width).

    Element-wise operations are counted for detectors.
    """
    model = build_counted(cfg)
    return parameters(model), operations(model, size, cfg.get('default_scope') == 'mmdet').total()


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
