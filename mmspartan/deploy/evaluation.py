"""Accuracy of exported models."""

from collections.abc import Sequence
from typing import Any

from mmengine.config import Config

from ..engine.launch import build_runner, one_line_errors
from ..errors import InputError
from . import exported_model  # noqa: F401 - registers
from .files import read_onnx


def evaluate(cfg: Config, path: str, backend: str = 'onnxruntime', threads: int | None = None) -> dict[str, Any]:
    """Metrics of an ONNX file by the config's test dataloader and evaluator.

    Raises:
        ValueError: If the runtime cannot read the file, or it has other classes than the config's test set.
    """
    cfg = cfg.copy()
    cfg.model = dict(type='ExportedModel', path=str(path), backend=backend, threads=threads)
    cfg.data_preprocessor = None  # is part of the graph
    cfg.load_from, cfg.resume = None, False
    cfg.train_dataloader = cfg.train_cfg = cfg.optim_wrapper = cfg.param_scheduler = None
    cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
    cfg.custom_hooks = []  # those of training
    cfg.experiment_name = f'{hash((path, backend)) & 0xFFFFFF:x}'  # a Runner's has to be its own
    runner = None
    with one_line_errors(cfg.filename or 'the config', lambda: getattr(runner, 'started', runner is not None), cfg):
        runner = build_runner(cfg)
        check_classes(path, runner.test_dataloader.dataset.metainfo.get('classes', ()))
        return runner.test()


def check_classes(path: str, expected: Sequence[str]) -> None:
    """Compare the classes that ``tools/export_onnx.py`` noted in a file with those of a dataset; other names may do.

    Raises:
        ValueError: If they are more, fewer or in another order, or it is no ONNX file.
    """
    props = {entry.key: entry.value for entry in read_onnx(path).metadata_props}
    found, expected = props.get('classes', '').splitlines(), list(expected)
    if not found or not expected:
        return
    if len(found) != len(expected) or (found != expected and sorted(found) == sorted(expected)):
        raise InputError(
            f"{path}: has {len(found)} classes ({', '.join(found[:10])}), the config's test set {len(expected)} "
            f'({", ".join(expected[:10])}): evaluate it with the config it was exported from'
        )
