"""The columns of a table that need no training, computed for a row."""

from functools import cache

import torch
from mmengine.config import Config
from torch import nn

from mmspartan.analysis.counting import build_counted, forward_of, operations, parameters
from mmspartan.benchmark.costs import peak_bytes
from mmspartan.commands.launch import size_of_test_images

from .configs import config_path
from .tables import Row

# Products of weights, or of features, which some publications count alone as "MACs".
PRODUCTS = ['conv', 'linear', 'matmul', 'bmm', 'einsum']


def counted(row: Row, memory: bool = True) -> dict[str, float]:
    """Return parameters, FLOPs, MACs and, if asked for, memory by column, in base units.

    FLOPs are multiply-adds of all operations that mmengine counts, and twice as many for a row that is ``doubled``.
    MACs are those of convolutions and matrix products alone. Memory is the peak of the inference of one image in
    float32, besides weights and image.
    """
    found = dict(costs(row.config, row.size, row.doubled))
    if memory:
        found['memory'] = _memory(row.config, row.size)
    return found


@cache
def costs(config: str, size: tuple[int, int] | None, doubled: bool) -> dict[str, float]:
    """Return parameters, FLOPs and MACs of a config, see :func:`counted`; do not change what is returned."""
    model, size = _build(config, size)
    by_operation = operations(model, size, element_wise=doubled)
    return dict(
        parameters=parameters(model),
        flops=by_operation.total() * (2 if doubled else 1),
        macs=sum(by_operation[name] for name in PRODUCTS),
    )


@cache
def _memory(config: str, size: tuple[int, int] | None) -> int:
    model, size = _build(config, size)
    forward, x = forward_of(model, size), torch.zeros(1, 3, *size)
    with torch.inference_mode():
        return peak_bytes(lambda: forward(x), 'cpu')


def _build(config: str, size: tuple[int, int] | None) -> tuple[nn.Module, tuple[int, int]]:
    cfg = Config.fromfile(config_path(config))
    return build_counted(cfg), size or size_of_test_images(cfg, 'size')
