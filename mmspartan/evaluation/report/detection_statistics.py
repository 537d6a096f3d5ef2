"""AP and AR of each class and size of objects, precision-recall curves, and best score thresholds, by pycocotools.

The numbers for all classes are those that mmdet's ``CocoMetric`` prints, and the AP of a class is that of its option
``classwise``. None stands for what is not defined, as the AP of a class without objects.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from mmdet.datasets.api_wrappers import COCOeval
from pycocotools.coco import COCO

from .ground_truth import GroundTruth
from .matching import MATCH_IOU, quiet, run_evaluator, strongest

SIZES = ('small', 'medium', 'large')


@dataclass(frozen=True)
class DetectionStatistics:
    """Statistics of detections.

    Attributes:
        total: ``AP``, ``AP50``, ``AP75`` and ``AR`` in [0, 1], the numbers of ``objects`` and of ``pictures`` with
            objects, and one best score ``threshold`` for all classes with ``precision``, ``recall`` and ``F1`` there,
            of the detections that drawings show.
        classes: The same for each class, and its ``name``.
        sizes: ``AP``, ``AR`` and ``objects`` by the names in ``SIZES``.
        recalls: Recalls of the curves, ``(101,)``.
        precisions: Precisions of the classes at these recalls, ``(101, num_classes)``; NaN for a class without objects.
        match_iou: IoU threshold of curves and score thresholds: 0.5, or the lowest one if 0.5 is not evaluated.
    """

    total: dict[str, Any]
    classes: list[dict[str, Any]]
    sizes: dict[str, dict[str, Any]]
    recalls: np.ndarray
    precisions: np.ndarray
    match_iou: float

    @classmethod
    def of(cls, truth: GroundTruth, detections: COCO) -> 'DetectionStatistics':
        """Compare detections, as :func:`~mmspartan.evaluation.report.matching.coco_of` returns them, with objects."""
        limits = truth.max_detections, truth.ap_index
        run = run_evaluator(truth.coco, detections, truth.category_ids, truth.iou_thresholds, *limits)
        with quiet():
            run.accumulate()
            run.summarize()
        thresholds = np.asarray(run.params.iouThrs)
        t = _index(thresholds, MATCH_IOU)
        t = int(thresholds.argmin()) if t is None else t
        order = [list(run.params.catIds).index(category) for category in truth.category_ids]  # pycocotools sorts them
        iou, drawn = float(thresholds[t]), strongest(detections)
        of_drawn = run_evaluator(truth.coco, drawn, truth.category_ids, [iou], limits[0], sizes=False)
        scored = [ScoredDetections.of(of_drawn, k) for k in order]
        classes = [
            {'name': name, **_averages(run, thresholds, k), **one.counts(), **one.best_threshold()}
            for name, k, one in zip(truth.classes, order, scored)
        ]
        together = ScoredDetections.joined(scored)
        stats = [_defined(value) for value in run.stats]
        total = dict(AP=stats[0], AP50=stats[1], AP75=stats[2], AR=stats[8])
        sizes = {
            name: dict(AP=stats[3 + i], AR=stats[9 + i], objects=_count_objects(run, i + 1))
            for i, name in enumerate(SIZES)
        }
        precisions = run.eval['precision'][t][:, order, 0, -1]
        return cls(
            total={**total, **together.counts(), **together.best_threshold()},
            classes=classes,
            sizes=sizes,
            recalls=np.asarray(run.params.recThrs),
            precisions=np.where(precisions > -1, precisions, np.nan),
            match_iou=iou,
        )

    def thresholds(self, score_thr: float | None = None) -> list[float]:
        """Return the score threshold of each class: its best one, or ``score_thr`` if given.

        A class without a best one, as it has no objects or none was found, gets the mean of the others, or 0.5.
        """
        if score_thr is not None:
            return [score_thr] * len(self.classes)
        known = [row['threshold'] for row in self.classes if row['threshold'] is not None]
        default = float(np.mean(known)) if known else 0.5
        return [default if row['threshold'] is None else row['threshold'] for row in self.classes]


@dataclass(frozen=True)
class ScoredDetections:
    """Detections of one or more classes in all images, except those of crowd regions."""

    scores: np.ndarray  # (N,)
    is_right: np.ndarray  # whether a detection belongs to an object, (N,)
    objects: int
    images: frozenset  # ids of those with objects

    @classmethod
    def of(cls, run: COCOeval, k: int) -> 'ScoredDetections':
        """Return those of the ``k``-th class of an evaluation with one IoU threshold."""
        entries = _entries(run, k, 0)
        counted = [~one['dtIgnore'][0].astype(bool) for one in entries]
        scores = [np.asarray(one['dtScores'], dtype=float)[keep] for one, keep in zip(entries, counted)]
        is_right = [one['dtMatches'][0][keep] > 0 for one, keep in zip(entries, counted)]
        objects = {one['image_id']: int((np.asarray(one['gtIgnore']) == 0).sum()) for one in entries}
        return cls(
            np.concatenate([np.zeros(0), *scores]),
            np.concatenate([np.zeros(0, dtype=bool), *is_right]),
            sum(objects.values()),
            frozenset(image for image, count in objects.items() if count),
        )

    @classmethod
    def joined(cls, parts: Sequence['ScoredDetections']) -> 'ScoredDetections':
        return cls(
            np.concatenate([part.scores for part in parts]),
            np.concatenate([part.is_right for part in parts]),
            sum(part.objects for part in parts),
            frozenset().union(*(part.images for part in parts)),
        )

    def counts(self) -> dict[str, int]:
        return dict(objects=self.objects, pictures=len(self.images))

    def best_threshold(self) -> dict[str, float | None]:
        """Return the score threshold with the highest F1, and precision, recall and F1 of the scores from it on.

        None each if there are no objects or no detection is right.
        """
        if not self.objects or not self.is_right.any():
            return dict(threshold=None, precision=None, recall=None, F1=None)
        order = np.argsort(-self.scores, kind='stable')
        scores, right = self.scores[order], np.cumsum(self.is_right[order])
        last = np.flatnonzero(np.diff(scores, append=-np.inf))  # a threshold keeps all or none of equal scores
        count, right = last + 1, right[last]
        f1 = 2 * right / (count + self.objects)
        i = int(f1.argmax())
        return dict(
            threshold=float(scores[last[i]]),
            precision=float(right[i] / count[i]),
            recall=float(right[i] / self.objects),
            F1=float(f1[i]),
        )


def _entries(run: COCOeval, k: int, area: int) -> list[dict]:
    """Return the evaluations of the images for a class and a size of objects; images without both are left out."""
    images, areas = len(run.params.imgIds), len(run.params.areaRng)
    start = (k * areas + area) * images
    return [one for one in run.evalImgs[start : start + images] if one is not None]


def _count_objects(run: COCOeval, area: int) -> int:
    classes = range(len(run.params.catIds))
    return sum(int((np.asarray(one['gtIgnore']) == 0).sum()) for k in classes for one in _entries(run, k, area))


def _averages(run: COCOeval, thresholds: np.ndarray, k: int) -> dict[str, float | None]:
    """Return AP and AR of the ``k``-th class."""
    precision, recall = run.eval['precision'][:, :, k, 0, -1], run.eval['recall'][:, k, 0, -1]
    at = {iou: _index(thresholds, iou) for iou in (0.5, 0.75)}
    return dict(
        AP=_mean(precision),
        AP50=None if at[0.5] is None else _mean(precision[at[0.5]]),
        AP75=None if at[0.75] is None else _mean(precision[at[0.75]]),
        AR=_mean(recall),
    )


def _index(thresholds: np.ndarray, iou: float) -> int | None:
    found = np.flatnonzero(np.isclose(thresholds, iou))
    return int(found[0]) if len(found) else None


def _mean(values: np.ndarray) -> float | None:
    """Return the mean of the values that are defined; pycocotools marks the others by -1."""
    defined = values[values > -1]
    return float(defined.mean()) if defined.size else None


def _defined(value: float) -> float | None:
    return float(value) if value > -1 else None
