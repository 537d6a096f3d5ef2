"""Matching cost of DEIMv2's last epochs (authors' code: github.com/Intellindust-AI-Lab/DEIMv2, ``change_matcher``)."""

from typing import Any

from mmdet.models.task_modules.assigners.match_cost import BaseMatchCost
from mmdet.structures.bbox import bbox_overlaps
from mmengine.registry import TASK_UTILS
from mmengine.structures import InstanceData
from torch import Tensor

from ..checks import check_numbers


@TASK_UTILS.register_module()
class ScoreIoUCost(BaseMatchCost):
    """``-score * iou ** power``, of the score of the object's class.

    Args:
        power (float): Exponent of the IoU, at least 0. Defaults to 4.
        weight (float): Factor of the result. Defaults to 1.

    Raises:
        ValueError: If ``power`` is out of its range.
    """

    def __init__(self, power: float = 4.0, weight: float = 1.0):
        check_numbers('ScoreIoUCost', '[0, inf)', power=power)
        super().__init__(weight=weight)
        self.power = power

    def __call__(
        self, pred_instances: InstanceData, gt_instances: InstanceData, img_meta: dict | None = None, **kwargs: Any
    ) -> Tensor:
        """Return the costs ``(predictions, objects)``.

        Args:
            pred_instances (InstanceData): Logits ``scores`` ``(n, num_classes)`` and ``bboxes`` (x1, y1, x2, y2).
            gt_instances (InstanceData): ``labels`` and ``bboxes`` of the objects.
            img_meta: Not used.
        """
        scores = pred_instances.scores.sigmoid()[:, gt_instances.labels]
        return -self.weight * scores * bbox_overlaps(pred_instances.bboxes, gt_instances.bboxes).pow(self.power)
