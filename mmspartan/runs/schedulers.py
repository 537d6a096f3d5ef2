"""Learning rate schedule of the authors' ImageNet training (paper Sec. IV-A1)."""

import math

from mmengine.optim import CosineAnnealingLR
from mmengine.registry import PARAM_SCHEDULERS


@PARAM_SCHEDULERS.register_module()
class UnshiftedCosineAnnealingLR(CosineAnnealingLR):
    """Cosine annealing over the whole training, including the warm-up before it.

    mmengine's ``CosineAnnealingLR`` starts the cosine at ``begin``. Here the learning rate at step ``e >= begin`` is
    ``eta_min + (lr - eta_min) * (1 + cos(pi * e / T_max)) / 2`` for any ``begin``, which is the default of timm's
    scheduler that the authors used. Takes the arguments of mmengine's class except ``eta_min_ratio``.
    """

    def _get_value(self) -> list[float]:
        progress = (self.begin + self.last_step) / self.T_max
        return [
            self.eta_min + (value - self.eta_min) * (1 + math.cos(math.pi * progress)) / 2 for value in self.base_values
        ]
