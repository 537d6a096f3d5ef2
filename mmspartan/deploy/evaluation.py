"""Evaluation of exported models."""

from collections.abc import Sequence
from typing import Any

from mmengine.config import Config

from ..checkpoints.class_names import check_class_names
from ..commands.launch import a_run
from . import exported_model  # noqa: F401 - registers
from .files import metadata, read_onnx


def evaluate(
    cfg: Config,
    path: str,
    backend: str = 'onnxruntime',
    threads: int | None = None,
    precision: str | None = None,
) -> dict[str, Any]:
    """Evaluate an ONNX file by the config's test dataloader and evaluator.

    Args:
        cfg: Config of the exported model.
        path: The ONNX file.
        backend: ``'onnxruntime'`` or ``'openvino'``.
        threads: Number of threads; the runtime's choice by default.
        precision: ``'f32'`` or ``'bf16'``; what the file asks for by default.

    Returns:
        dict: The metrics.

    Raises:
        ValueError: If the runtime cannot read the file, or its classes are not those of the config's test set.
    """
    cfg = cfg.copy()
    cfg.model = dict(type='ExportedModel', path=str(path), backend=backend, threads=threads, precision=precision)
    cfg.data_preprocessor = None  # the graph includes it
    cfg.load_from, cfg.resume = None, False
    cfg.custom_hooks = []  # they are for training
    cfg.experiment_name = f'{hash((path, backend)) & 0xFFFFFF:x}'  # each Runner needs a unique name
    with a_run(cfg, ['test']) as runner:
        check_classes(path, runner.test_dataloader.dataset.metainfo.get('classes', ()))
        return runner.test()


def check_classes(path: str, expected: Sequence[str]) -> None:
    """Compare the classes that ``tools/export_onnx.py`` stored in a file with the classes of a dataset.

    Raises InputError if their number or order differs, or the file is not an ONNX file.
    """
    check_class_names(classes_of_exported(path), path, expected, "the config's test set", same_number=True)


def classes_of_exported(path: str) -> list[str]:
    """Return the class names that ``tools/export_onnx.py`` stored in an ONNX file; [] if there are none."""
    return metadata(read_onnx(path)).get('classes', '').splitlines()
