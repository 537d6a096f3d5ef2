"""Accuracy of exported models."""

from typing import Any

from mmengine.config import Config

from ..engine.launch import build_runner
from . import exported  # noqa: F401 - registers


def evaluate(cfg: Config, path: str, backend: str = 'onnxruntime', threads: int | None = None) -> dict[str, Any]:
    """Metrics of an ONNX file by the config's test dataloader and evaluator."""
    cfg = cfg.copy()
    cfg.model = dict(type='ExportedModel', path=str(path), backend=backend, threads=threads)
    cfg.data_preprocessor = None  # is part of the graph
    cfg.load_from, cfg.resume = None, False
    cfg.train_dataloader = cfg.train_cfg = cfg.optim_wrapper = cfg.param_scheduler = None
    cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
    cfg.custom_hooks = []  # those of training
    cfg.experiment_name = f'{hash((path, backend)) & 0xFFFFFF:x}'  # a Runner's has to be its own
    return build_runner(cfg).test()
