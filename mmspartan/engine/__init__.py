from .accumulation import AccumulatedGradientsHook
from .broadcast_buffers_hook import BroadcastBuffersHook
from .checkpoint import AtomicLocalBackend
from .checkpoint_hook import SafeCheckpointHook
from .finite_hook import FiniteHook
from .log_history_hook import LogHistoryHook
from .loops import ResumableEpochBasedTrainLoop, ResumableIterBasedTrainLoop
from .missing_evaluation_hook import MissingEvaluationHook
from .optim_wrapper_constructor import RegexOptimWrapperConstructor
from .randomness import SeededBatchSampler
from .run_length_ema_hook import RunLengthEMAHook
from .runner import ResumableRunner
from .schedulers import UnshiftedCosineAnnealingLR
from .screen import SlowStepHook
from .stop_hook import StopOnSignalHook
from .validation_loss_hook import ValidationLossHook

__all__ = [
    'AccumulatedGradientsHook',
    'AtomicLocalBackend',
    'BroadcastBuffersHook',
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
