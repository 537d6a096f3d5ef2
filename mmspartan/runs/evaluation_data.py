"""The datasets of a config's loaders, and a check that an evaluator reads the annotation file of its dataset."""

import filecmp
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..errors import InputError


def check_evaluation_data(dataset: Any, cfg: Config, phase: str) -> None:
    """Check that the evaluator of a phase, ``'val'`` or ``'test'``, reads the annotation file of the dataset.

    Raises InputError, which shows both paths, if it reads another file.
    """
    evaluators = cfg.get(f'{phase}_evaluator') or []
    wanted = {path for path in _annotation_files(dataset) if path}
    for evaluator in evaluators if isinstance(evaluators, list | tuple) else [evaluators]:
        path = evaluator.get('ann_file') if isinstance(evaluator, dict) else None
        if path and wanted and not any(_is_same(path, file) for file in wanted):
            raise InputError(
                f'{phase}_evaluator.ann_file={path} is another file than the one whose images are evaluated, '
                f'{phase}_dataloader.dataset.ann_file={", ".join(sorted(wanted))}'
            )


def _annotation_files(dataset: Any) -> Iterator[str]:
    inner = getattr(dataset, 'datasets', None) or [getattr(dataset, 'dataset', None)]
    if inner[0] is None:
        yield getattr(dataset, 'ann_file', '')
        return
    for wrapped in inner:
        yield from _annotation_files(wrapped)


def _is_same(first: str, second: str) -> bool:
    if first == second or not (Path(first).is_file() and Path(second).is_file()):
        return first == second
    return Path(first).samefile(second) or filecmp.cmp(first, second, shallow=False)


def inner_datasets(cfg: Any, name: str) -> Iterator[tuple[str, dict]]:
    """Iterate over the datasets in a loader's config, without their wrappers, and their names in it."""
    wrapped = cfg.get('datasets') if isinstance(cfg, dict) else None
    if isinstance(cfg, dict) and 'dataset' in cfg:
        yield from inner_datasets(cfg['dataset'], f'{name}.dataset')
    elif isinstance(wrapped, list | tuple):
        for i, dataset in enumerate(wrapped):
            yield from inner_datasets(dataset, f'{name}.datasets[{i}]')
    elif isinstance(cfg, dict):
        yield name, cfg
