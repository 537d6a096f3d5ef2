"""Errors of a detector at its score thresholds: confused classes, missed objects and false detections by image."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools.coco import COCO

from .ground_truth import GroundTruth
from .matching import Matching, coco_of, match, strongest


@dataclass(frozen=True)
class OperatingPoint:
    """The detections from the score thresholds on, and what they are worth.

    Attributes:
        thresholds: Score threshold of each class.
        detections: The strongest ones, as drawings show them, of the detections with at least this score.
        matching: Their matching with the objects, class by class.
        confusion: Numbers of objects by class (rows) and class of the detection (columns),
            ``(num_classes + 1, num_classes + 1)``. The last row is of false detections on the background, the last
            column of missed objects, and the sums are those of objects and detections.
    """

    thresholds: list[float]
    detections: COCO
    matching: Matching
    confusion: np.ndarray

    @classmethod
    def of(cls, truth: GroundTruth, detections: COCO, thresholds: list[float], iou: float) -> 'OperatingPoint':
        least = dict(zip(truth.category_ids, thresholds))
        scored = (d for d in detections.anns.values() if d['score'] >= least[d['category_id']])
        kept = strongest(coco_of(truth.coco, scored))
        matching = match(truth.coco, kept, truth.category_ids, iou)
        return cls(thresholds, kept, matching, confusion_matrix(truth, kept, matching, iou))

    def errors(self, truth: GroundTruth) -> dict[Any, tuple[int, int]]:
        """Return the numbers of missed objects and false detections, by the ids of the images that have any."""
        return errors_by_image(truth.coco, self.detections, self.matching)


def confusion_matrix(truth: GroundTruth, detections: COCO, matching: Matching, iou: float) -> np.ndarray:
    """Return the confusion matrix of detections that are matched class by class.

    What this leaves of objects and detections is matched once more without regard to the class, so that the diagonal
    holds the right detections of the other tables.
    """
    labels = {category: label for label, category in enumerate(truth.category_ids)}
    background = len(labels)
    left_objects = coco_of(truth.coco, (truth.coco.anns[i] for i in matching.missed))
    left_detections = coco_of(truth.coco, (detections.anns[i] for i in matching.false))
    confused = match(left_objects, left_detections, truth.category_ids, iou, by_class=False)
    matrix = np.zeros((background + 1, background + 1), dtype=int)
    for found, taken in (matching.right | confused.right).items():
        row, column = truth.coco.anns[taken]['category_id'], detections.anns[found]['category_id']
        matrix[labels[row], labels[column]] += 1
    for found in confused.false:
        matrix[background, labels[detections.anns[found]['category_id']]] += 1
    for missed in confused.missed:
        matrix[labels[truth.coco.anns[missed]['category_id']], background] += 1
    return matrix


def errors_by_image(objects: COCO, detections: COCO, matching: Matching) -> dict[Any, tuple[int, int]]:
    """Return the numbers of missed objects and false detections, by the ids of the images that have any."""
    missed = Counter(objects.anns[i]['image_id'] for i in matching.missed)
    false = Counter(detections.anns[i]['image_id'] for i in matching.false)
    return {image: (missed[image], false[image]) for image in missed | false}


def differences(truth: GroundTruth, first: OperatingPoint, second: OperatingPoint, iou: float) -> Matching:
    """Match the detections of two models.

    ``false`` are the ids of the first model's detections for which the second has none of the same class and with at
    least ``iou``, ``missed`` those of the second for which the first has none.
    """
    return match(second.detections, first.detections, truth.category_ids, iou)


def worst_first(errors: dict[Any, tuple[int, int]], count: int) -> list[Any]:
    """Return the ids of ``count`` images with most errors; of equal ones, those with more missed objects first."""
    return sorted(errors, key=lambda image: (-sum(errors[image]), -errors[image][0], str(image)))[:count]
