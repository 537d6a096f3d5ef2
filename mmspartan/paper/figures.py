"""The columns of a table that need no training, computed for a row."""

from functools import cache

from mmengine.config import Config

from ..configs import config_path
from ..engine.launch import test_size
from .counting import PRODUCTS, build_counted, inference_bytes, operations, parameters
from .tables import Row


def counted(row: Row) -> dict[str, float]:
    """Return parameters, FLOPs, MACs and memory by column, in base units.

    FLOPs are multiply-adds of all operations that mmengine counts, and twice as many for a row that is ``doubled``.
    MACs are those of convolutions and matrix products alone. Memory is the peak of the inference of one image in
    float32, besides weights and image.
    """
    return dict(_counted(row.config, row.size, row.doubled))


@cache
def _counted(config: str, size: tuple[int, int] | None, doubled: bool) -> dict[str, float]:
    cfg = Config.fromfile(config_path(config))
    size = size or test_size(cfg, 'size')
    model = build_counted(cfg)
    by_operation = operations(model, size, element_wise=doubled)
    return dict(
        parameters=parameters(model),
        flops=by_operation.total() * (2 if doubled else 1),
        macs=sum(by_operation[name] for name in PRODUCTS),
        memory=inference_bytes(model, size),
    )
