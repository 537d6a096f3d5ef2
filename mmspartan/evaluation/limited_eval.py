"""COCO's evaluation with the same limit of detections of an image for every AP.

pycocotools and mmdet compute AP of all classes from the best 100 detections of an image, but AP50, AP75, AP by size and
AP of a class from the last of ``proposal_nums``, 1000. COCO's own limit is 100 for all of them, which is the default
here; with ``proposal_nums`` in a config, the last of them is the limit. AR is as in mmdet.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from pycocotools.coco import COCO

from ..errors import InputError

LIMITS = (100, 300, 1000)  # mmdet's proposal_nums, of which the first is COCO's limit for AP
AP = [(None, 'all'), (0.5, 'all'), (0.75, 'all'), (None, 'small'), (None, 'medium'), (None, 'large')]  # IoU and size
AR = [('all', 0), ('all', 1), ('all', 2), ('small', -1), ('medium', -1), ('large', -1)]  # size and index of the limit


def limited(evaluator: type, ap_index: int) -> type:
    """Return a subclass of an evaluator whose APs have one limit.

    Args:
        evaluator: pycocotools' ``COCOeval``, or a class with its attributes.
        ap_index: Index of the limit in ``params.maxDets``.
    """

    class LimitedEval(evaluator):
        def accumulate(self, *args: Any) -> None:
            super().accumulate(*args)
            precision = np.asarray(self.eval['precision'])
            self.eval['precision'] = precision[..., [ap_index]]  # mmdet's table of classes reads the last one

        def summarize(self) -> None:
            """Compute and print the twelve numbers of COCO, ``stats``; -1 stands for what is not defined."""
            limits, sizes = self.params.maxDets, list(self.params.areaRngLbl)
            ious, precision = np.asarray(self.params.iouThrs), self.eval['precision']
            recall = np.asarray(self.eval['recall'])
            stats = []
            for iou, size in AP:
                rows = slice(None) if iou is None else np.flatnonzero(np.isclose(ious, iou))
                stats.append(_mean(precision[rows, :, :, sizes.index(size), 0]))
                _print('Precision', ious if iou is None else [iou], size, limits[ap_index], stats[-1])
            for size, i in AR:
                stats.append(_mean(recall[:, :, sizes.index(size), i]))
                _print('Recall', ious, size, limits[i], stats[-1])
            self.stats = np.array(stats)

    return LimitedEval


def limits_of(proposal_nums: Sequence[int] | None, name: str = 'proposal_nums') -> tuple[tuple[int, ...], int]:
    """Return the limits of an evaluation, and the index of the one for AP, by a metric's ``proposal_nums``.

    Raises InputError, in which ``name`` is the setting, if it is not three ascending positive integers.
    """
    if proposal_nums is None:
        return LIMITS, 0
    limits = tuple(proposal_nums) if isinstance(proposal_nums, list | tuple) else (proposal_nums,)
    if len(limits) != 3 or any(type(n) is not int or n < 1 for n in limits) or list(limits) != sorted(set(limits)):
        raise InputError(
            f'{name} is {proposal_nums}, must be three ascending numbers of detections, as (100, 300, 1000)'
        )
    return limits, -1


def crowded(coco: COCO, limit: int) -> str | None:
    """Return a sentence about the image with most objects, if it has more than ``limit``, or else None."""
    counts = Counter(a['image_id'] for a in coco.dataset['annotations'] if not a.get('iscrowd'))
    image, most = max(counts.items(), key=lambda item: item[1], default=(None, 0))
    if most <= limit:
        return None
    return (
        f'image {image} has {most} objects, but AP counts the best {limit} detections of an image, as COCO does; '
        f'to count more: test_evaluator.proposal_nums=(100,300,{max(1000, most)}), and the same of val_evaluator'
    )


def _mean(values: np.ndarray) -> float:
    defined = values[values > -1]
    return float(defined.mean()) if defined.size else -1.0


def _print(kind: str, ious: Any, size: str, limit: int, value: float) -> None:
    name = 'AP' if kind == 'Precision' else 'AR'
    iou = f'{ious[0]:.2f}' if len(ious) == 1 else f'{ious[0]:.2f}:{ious[-1]:.2f}'
    print(f' Average {kind:<10} ({name}) @[ IoU={iou:<9} | area={size:>6} | maxDets={limit:>3} ] = {value:.3f}')
