"""Compare the annotation files of an evaluator and of the dataset that it evaluates."""

import filecmp
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..errors import InputError


def check_evaluation_data(dataset: Any, cfg: Config, phase: str) -> None:
    """Refuse an evaluator whose annotation file is not the dataset's.

    Args:
        dataset: What the loader reads, wrappers included.
        cfg: The run's config.
        phase: ``'val'`` or ``'test'``.

    Raises:
        InputError: Shows both paths.
    """
    evaluators = cfg.get(f'{phase}_evaluator') or []
    wanted = {path for path in _annotation_files(dataset) if path}
    for evaluator in evaluators if isinstance(evaluators, list | tuple) else [evaluators]:
        path = evaluator.get('ann_file') if isinstance(evaluator, dict) else None
        if path and wanted and not any(_is_same(path, other) for other in wanted):
            raise InputError(
                f'{phase}_evaluator.ann_file={path} is another file than the one whose pictures are evaluated, '
                f'{phase}_dataloader.dataset.ann_file={", ".join(sorted(wanted))}'
            )


def _annotation_files(dataset: Any) -> Iterator[str]:
    inner = getattr(dataset, 'datasets', None) or [getattr(dataset, 'dataset', None)]
    if inner[0] is None:
        yield getattr(dataset, 'ann_file', '')
        return
    for part in inner:
        yield from _annotation_files(part)


def _is_same(path: str, other: str) -> bool:
    if path == other or not (Path(path).is_file() and Path(other).is_file()):
        return path == other
    return Path(path).samefile(other) or filecmp.cmp(path, other, shallow=False)
