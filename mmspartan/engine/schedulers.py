"""Learning rate schedule of the authors' ImageNet training (paper Sec. IV-A1)."""

import math

from mmengine.optim import CosineAnnealingLR
from mmengine.registry import PARAM_SCHEDULERS


@PARAM_SCHEDULERS.register_module()
class UnshiftedCosineAnnealingLR(CosineAnnealingLR):
    """Cosine annealing that the warm-up before it does not delay.

    mmengine's starts its cosine at ``begin``. This one has at step ``e >= begin`` the value
    ``eta_min + (lr - eta_min) * (1 + cos(pi * e / T_max)) / 2`` whatever ``begin`` is, as timm's scheduler does by
    default, which the authors used. Takes the arguments of mmengine's, ``eta_min_ratio`` excepted.
    """

    def _get_value(self) -> list[float]:
        progress = (self.begin + self.last_step) / self.T_max
        return [
            self.eta_min + (value - self.eta_min) * (1 + math.cos(math.pi * progress)) / 2 for value in self.base_values
        ]
