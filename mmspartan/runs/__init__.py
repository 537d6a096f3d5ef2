"""Trainings and tests by mmengine's Runner that can be killed at any time and resumed: Runner, loops, hooks."""

from . import accumulation, loops, optim_wrapper_constructor, randomness, runner, schedulers, screen  # noqa: F401
from .hooks import (  # noqa: F401 - register
    broadcast_buffers_hook,
    checkpoint_hook,
    fake_quant_hook,
    finite_hook,
    log_history_hook,
    missing_evaluation_hook,
    run_length_ema_hook,
    stop_hook,
    validation_loss_hook,
)
