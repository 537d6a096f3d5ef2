"""Matchability-aware loss, the classification loss of DEIM (Huang et al., CVPR 2025, arXiv 2412.04234).

With the score ``p`` and the IoU ``q`` of a match, its loss is ``-q ** gamma * log(p) - (1 - q ** gamma) * log(1 - p)``,
and a negative's is ``-alpha * p ** gamma * log(1 - p)``. The paper has no ``alpha``; the authors' code has it, unset.
"""

from mmengine.registry import MODELS
from torch import Tensor

from .varifocal_loss import IoUVarifocalLoss


@MODELS.register_module()
class MatchabilityAwareLoss(IoUVarifocalLoss):
    """Varifocal loss whose target is a power of the IoU, and which does not weight matches by their IoU.

    A match of low IoU has a high loss if its score is high, where the varifocal loss nearly ignores it.

    Args:
        alpha (float): Weight of negatives, in [0, 1]. Defaults to 1.0, the paper's equation.
        gamma (float): Exponent of a match's IoU and of a negative's score, at least 0. Defaults to 1.5.
        loss_weight (float): Factor of the result, at least 0. Defaults to 1.0.

    Raises:
        ValueError: If an argument is out of its range.
    """

    def __init__(self, alpha: float = 1.0, gamma: float = 1.5, loss_weight: float = 1.0):
        super().__init__(alpha, gamma, loss_weight)

    def target_and_weight(self, positive: Tensor, ious: Tensor) -> tuple[Tensor, Tensor]:
        return positive * ious.pow(self.gamma), positive
