"""Classification loss of RT-DETR: varifocal loss (arXiv 2008.13367) towards the IoU of the matched box."""

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from ..checks import check_numbers


@MODELS.register_module()
class IoUVarifocalLoss(nn.Module):
    """Binary cross-entropy towards the IoU, weighted by it, and for other classes by ``alpha * p ** gamma``.

    mmdet's ``VarifocalLoss`` lets gradients through that weight, and counts a match of IoU 0 as background.

    Args:
        alpha (float): Weight of background, in [0, 1]. Defaults to 0.75.
        gamma (float): Exponent of the predicted probability of background, at least 0. Defaults to 2.0.
        loss_weight (float): Factor of the result, at least 0. Defaults to 1.0.

    Raises:
        ValueError: If an argument is out of its range.
    """

    use_sigmoid = True  # mmdet's heads ask for it

    def __init__(self, alpha: float = 0.75, gamma: float = 2.0, loss_weight: float = 1.0):
        super().__init__()
        check_numbers('IoUVarifocalLoss', '[0, 1]', alpha=alpha)
        check_numbers('IoUVarifocalLoss', '[0, inf)', gamma=gamma, loss_weight=loss_weight)
        self.alpha = alpha
        self.gamma = gamma
        self.loss_weight = loss_weight

    def forward(self, logits: Tensor, labels: Tensor, ious: Tensor, avg_factor: Tensor | float) -> Tensor:
        """
        Args:
            logits (Tensor): ``(..., num_classes)``.
            labels (Tensor): ``(...)``, in 0..num_classes, the last meaning background.
            ious (Tensor): ``(...)``, in [0, 1], of matched predictions; 0 elsewhere.
            avg_factor: What the sum is divided by.
        """
        # one_hot would read the labels on the host to check them
        positive = (labels[..., None] == torch.arange(logits.shape[-1], device=labels.device)).to(logits.dtype)
        target = positive * ious[..., None]
        weight = self.alpha * logits.detach().sigmoid().pow(self.gamma) * (1 - positive) + target
        loss = binary_cross_entropy_with_logits(logits, target, weight, reduction='sum')
        return self.loss_weight * loss / avg_factor
