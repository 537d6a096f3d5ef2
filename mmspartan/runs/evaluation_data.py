"""A check that an evaluator reads the annotation file of its dataset."""

import filecmp
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..configs import type_name
from ..errors import InputError


def check_evaluation_data(dataset: Any, cfg: Config, phase: str) -> None:
    """Check that the evaluators of a phase, ``'val'`` or ``'test'``, read the annotation file of the dataset.

    Raises InputError, which shows both paths, if one reads another file. A metric of another kind than one that reads
    it may do so: beside a panoptic metric, ``CocoMetric`` has a file of the same images.
    """
    evaluators = cfg.get(f'{phase}_evaluator') or []
    wanted = {path for path in _annotation_files(dataset) if path}
    evaluators = evaluators if isinstance(evaluators, list | tuple) else [evaluators]
    read = [
        (path, type_name(each.get('type')), any(_is_same(path, file) for file in wanted))
        for each in evaluators
        if isinstance(each, dict) and (path := each.get('ann_file'))
    ]
    for path, kind, is_same in read if wanted else ():
        if not is_same and not any(same and other != kind for _, other, same in read):
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
