"""Trainings and tests by mmengine's Runner that can be killed at any time and resumed: Runner, loops, hooks."""

from .accumulation import AccumulatedGradientsHook
from .hooks.broadcast_buffers_hook import BroadcastBuffersHook
from .hooks.checkpoint_hook import SafeCheckpointHook
from .hooks.fake_quant_hook import FakeQuantHook
from .hooks.finite_hook import FiniteHook
from .hooks.log_history_hook import LogHistoryHook
from .hooks.missing_evaluation_hook import MissingEvaluationHook
from .hooks.run_length_ema_hook import RunLengthEMAHook
from .hooks.stop_hook import StopOnSignalHook
from .hooks.validation_loss_hook import ValidationLossHook
from .loops import ResumableEpochBasedTrainLoop, ResumableIterBasedTrainLoop
from .optim_wrapper_constructor import RegexOptimWrapperConstructor
from .randomness import SeededBatchSampler
from .runner import ResumableRunner
from .schedulers import UnshiftedCosineAnnealingLR
from .screen import SlowStepHook

__all__ = [
    'AccumulatedGradientsHook',
    'BroadcastBuffersHook',
    'FakeQuantHook',
    'FiniteHook',
    'LogHistoryHook',
    'MissingEvaluationHook',
    'RegexOptimWrapperConstructor',
    'ResumableEpochBasedTrainLoop',
    'ResumableIterBasedTrainLoop',
    'ResumableRunner',
    'RunLengthEMAHook',
    'SafeCheckpointHook',
    'SeededBatchSampler',
    'SlowStepHook',
    'StopOnSignalHook',
    'UnshiftedCosineAnnealingLR',
    'ValidationLossHook',
]
