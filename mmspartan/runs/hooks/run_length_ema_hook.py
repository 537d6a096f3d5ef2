"""Averaged weights whose horizon is a share of the training, for trainings of any length.

RT-DETR's recipe averages over 10,000 iterations of 500,000. A training of 1,000 iterations would end with an average
over all of it, which is far behind its weights.
"""

from typing import Any

from mmengine.hooks import EMAHook
from mmengine.registry import HOOKS

from ...checks import refuse


@HOOKS.register_module()
class RunLengthEMAHook(EMAHook):
    """mmengine's ``EMAHook`` of ``ForeachExpMomentumEMA``, with a horizon in shares of the training.

    The average decays by ``1 - 1 / (horizon * max_iters)`` an iteration, and faster at the beginning, with the same
    number of iterations as time constant.

    Args:
        horizon: Share of the training, above 0 and at most 1. Defaults to 0.02, RT-DETR's 10,000 of 500,000 iterations.
        **kwargs: Other arguments of ``EMAHook``.

    Raises:
        ValueError: If ``horizon`` is outside of this range.
    """

    def __init__(self, horizon: float = 0.02, **kwargs: Any):
        if not isinstance(horizon, int | float) or not 0 < horizon <= 1:
            refuse(type(self).__name__, 'horizon', 'a share of the training, above 0 and at most 1', horizon)
        self.horizon = horizon
        super().__init__(ema_type='ForeachExpMomentumEMA', **{'update_buffers': True, **kwargs})

    def before_train(self, runner: Any) -> None:
        super().before_train(runner)
        # not in before_run, which evaluations call as well: the length would make them build the training set
        iterations = max(2.0, self.horizon * runner.max_iters)
        self.ema_model.momentum, self.ema_model.gamma = 1 / iterations, round(iterations)
