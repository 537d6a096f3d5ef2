"""Classification loss of RT-DETR: varifocal loss (arXiv 2008.13367) towards the IoU of the matched box."""

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from ..checks import check_numbers


@MODELS.register_module()
class IoUVarifocalLoss(nn.Module):
    """Binary cross-entropy with the IoU as target and weight; other classes have the weight ``alpha * p ** gamma``.

    mmdet's ``VarifocalLoss`` propagates gradients through this weight, and treats a match with IoU 0 as background.

    Args:
        alpha (float): Weight of negatives, in [0, 1]. Defaults to 0.75.
        gamma (float): Exponent of the predicted probability ``p`` of negatives, at least 0. Defaults to 2.0.
        loss_weight (float): Factor of the result, at least 0. Defaults to 1.0.

    Raises:
        ValueError: If an argument is out of its range.
    """

    use_sigmoid = True  # attribute that mmdet's heads read

    def __init__(self, alpha: float = 0.75, gamma: float = 2.0, loss_weight: float = 1.0):
        super().__init__()
        check_numbers(type(self).__name__, '[0, 1]', alpha=alpha)
        check_numbers(type(self).__name__, '[0, inf)', gamma=gamma, loss_weight=loss_weight)
        self.alpha = alpha
        self.gamma = gamma
        self.loss_weight = loss_weight

    def forward(self, logits: Tensor, labels: Tensor, ious: Tensor, avg_factor: Tensor | float) -> Tensor:
        """Compute the sum of the loss over the last three dimensions, divided by ``avg_factor``.

        Args:
            logits (Tensor): ``(..., B, Q, num_classes)``.
            labels (Tensor): ``(..., B, Q)``, in 0..num_classes; num_classes is background.
            ious (Tensor): ``(..., B, Q)``, in [0, 1]; IoU of matched predictions, 0 for others.
            avg_factor: Divisor of the sum.

        Returns:
            Tensor: The loss, ``(...)``.
        """
        # one_hot would synchronize with the GPU to check the labels
        positive = (labels[..., None] == torch.arange(logits.shape[-1], device=labels.device)).to(logits.dtype)
        target, positive_weight = self.target_and_weight(positive, ious[..., None])
        weight = self.alpha * logits.detach().sigmoid().pow(self.gamma) * (1 - positive) + positive_weight
        loss = binary_cross_entropy_with_logits(logits, target, weight, reduction='none').sum((-3, -2, -1))
        return self.loss_weight * loss / avg_factor

    def target_and_weight(self, positive: Tensor, ious: Tensor) -> tuple[Tensor, Tensor]:
        """Return the target of each logit, and the weight of positives, which is 0 for negatives.

        Args:
            positive (Tensor): ``(..., B, Q, num_classes)``, 1 for the class of a matched prediction, 0 elsewhere.
            ious (Tensor): ``(..., B, Q, 1)``, in [0, 1].
        """
        target = positive * ious
        return target, target
