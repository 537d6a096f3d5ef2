"""Which detection belongs to which object, by pycocotools.

Each class of each image is matched on its own, from the highest score down: a detection takes the object that it
overlaps most, of those with at least the wanted IoU that no other detection has taken. Detections of crowd regions
count neither as right nor as false.
"""

import contextlib
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from mmdet.datasets.api_wrappers import COCOeval
from pycocotools.coco import COCO

from ...visualization.boxes import strongest_boxes
from ..limited_eval import LIMITS, limited

MATCH_IOU = 0.5


@dataclass(frozen=True)
class Matching:
    """Ids of detections and objects at one IoU threshold."""

    right: dict[int, int]  # of objects, by those of the detections that belong to them
    false: list[int]  # of detections without an object
    missed: list[int]  # of objects without a detection


def coco_of(images: COCO, annotations: Iterable[dict]) -> COCO:
    """Return COCO's interface to annotations or predictions of the images and categories of ``images``.

    Predictions get the entries ``id`` (from 1 on), ``area`` and ``iscrowd``, which they lack.
    """
    result = COCO()
    result.dataset = dict(
        images=images.dataset['images'],
        categories=images.dataset['categories'],
        annotations=[
            {'id': i, 'iscrowd': 0, 'area': a['bbox'][2] * a['bbox'][3], **a} for i, a in enumerate(annotations, 1)
        ],
    )
    with quiet():
        result.createIndex()
    return result


def strongest(detections: COCO) -> COCO:
    """Return the detections that drawings show: of those that cover one object, whatever their classes, the strongest.

    See :func:`~mmspartan.visualization.boxes.strongest_boxes`.
    """
    kept = []
    for found in detections.imgToAnns.values():
        corners = np.array([d['bbox'] for d in found], dtype=np.float64)
        corners[:, 2:] += corners[:, :2]
        kept += [found[i] for i in strongest_boxes(corners, [d['score'] for d in found])]
    return coco_of(detections, kept)


def run_evaluator(
    objects: COCO,
    detections: COCO,
    category_ids: Sequence,
    iou_thresholds: Sequence[float] | None = None,
    max_detections: Sequence[int] = LIMITS,
    ap_index: int = 0,
    by_class: bool = True,
    sizes: bool = True,
) -> COCOeval:
    """Evaluate by pycocotools with the settings of mmdet's ``CocoMetric``.

    Args:
        objects: Annotations of the images.
        detections: Predictions for them, of :func:`coco_of`.
        category_ids: Classes that are evaluated.
        iou_thresholds: COCO's 0.5, 0.55, ..., 0.95 if None.
        max_detections: Largest numbers of detections of an image; the last one limits the matching.
        ap_index: Index of the one for AP.
        by_class: Whether a detection and its object have to be of one class.
        sizes: Whether small, medium and large objects are evaluated as well.

    Returns:
        COCOeval: After ``evaluate()``.
    """
    run = limited(COCOeval, ap_index)(objects, detections, 'bbox')
    run.params.catIds = list(category_ids)
    run.params.imgIds = list(objects.imgs)
    run.params.maxDets = list(max_detections)
    if iou_thresholds is not None:
        run.params.iouThrs = np.asarray(iou_thresholds, dtype=float)
    run.params.useCats = int(by_class)
    if not sizes:
        run.params.areaRng, run.params.areaRngLbl = run.params.areaRng[:1], run.params.areaRngLbl[:1]
    with quiet():
        run.evaluate()
    return run


def match(
    objects: COCO, detections: COCO, category_ids: Sequence, iou: float = MATCH_IOU, by_class: bool = True
) -> Matching:
    """Match detections with objects at one IoU threshold; arguments as in :func:`run_evaluator`."""
    run = run_evaluator(objects, detections, category_ids, [iou], by_class=by_class, sizes=False)
    matching = Matching({}, [], [])
    for one in filter(None, run.evalImgs):
        for found, taken, is_ignored in zip(one['dtIds'], one['dtMatches'][0], one['dtIgnore'][0]):
            if is_ignored:
                continue
            if taken:
                matching.right[found] = int(taken)
            else:
                matching.false.append(found)
        is_missed = (one['gtMatches'][0] == 0) & (np.asarray(one['gtIgnore']) == 0)
        matching.missed.extend(one['gtIds'][i] for i in np.flatnonzero(is_missed))
    return matching


@contextlib.contextmanager
def quiet() -> Any:
    """Keep pycocotools from printing."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield
