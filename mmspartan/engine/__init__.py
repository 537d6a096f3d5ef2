from .checkpoint import AtomicLocalBackend, allow_mmengine_checkpoints
from .optim_wrapper_constructor import RegexOptimWrapperConstructor
from .schedulers import UnshiftedCosineAnnealingLR

__all__ = [
    'AtomicLocalBackend',
    'RegexOptimWrapperConstructor',
    'UnshiftedCosineAnnealingLR',
    'allow_mmengine_checkpoints',
]
