"""Gradient accumulation: the batch that the learning rate is scaled for, and checkpoints between two steps."""

from typing import Any

from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.registry import HOOKS
from torch import Tensor

from ..checkpoints.checkpoint import dense_problem, without_wrappers
from ..errors import InputError

GRADIENTS = 'accumulated_gradients'


def accumulated_batches(optim_wrapper: Any) -> int:
    """Return the number of batches whose gradients make a step of the optimizer."""
    return getattr(optim_wrapper, '_accumulative_counts', 1)


def scaled_for_accumulation(auto_scale_lr: dict | None, optim_wrapper: Any) -> dict | None:
    """Return mmengine's setting of ``auto_scale_lr``, which counts one batch, for several that make a step.

    The ratio of batch and base stays the same if the base is divided instead of the batch multiplied.
    """
    batches = accumulated_batches(optim_wrapper)
    if batches == 1 or not auto_scale_lr or not auto_scale_lr.get('enable') or 'base_batch_size' not in auto_scale_lr:
        return auto_scale_lr
    print_log(f'auto_scale_lr: a step of the optimizer accumulates {batches} batches, which counts as one', 'current')
    return dict(auto_scale_lr, base_batch_size=auto_scale_lr['base_batch_size'] / batches)


@HOOKS.register_module()
class AccumulatedGradientsHook(Hook):
    """Saves the gradients in a checkpoint between two steps of the optimizer, and restores them in a resumed run.

    Each of several processes has gradients of its own, which are not saved.
    """

    priority = 'VERY_LOW'

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        wrapper = runner.optim_wrapper
        is_between = accumulated_batches(wrapper) > 1 and not wrapper.should_update()
        if is_between and get_world_size() == 1:
            parameters = without_wrappers(runner.model).named_parameters()
            checkpoint[GRADIENTS] = {name: value.grad for name, value in parameters if value.grad is not None}

    def after_load_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        gradients = checkpoint.get(GRADIENTS)
        if not gradients or not getattr(runner, '_resuming', False) or get_world_size() > 1:
            return
        parameters = dict(without_wrappers(runner.model).named_parameters())
        for name, gradient in gradients.items():
            problem = dense_problem(gradient) if isinstance(gradient, Tensor) else 'is no tensor'  # inf is AMP's matter
            if problem is None and (name not in parameters or parameters[name].shape != gradient.shape):
                problem = 'belongs to no parameter of the model'
            if problem:
                raise InputError(f'cannot be resumed from: {GRADIENTS}[{name}] {problem}')
            parameters[name].grad = gradient.to(parameters[name])
