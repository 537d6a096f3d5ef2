from .checkpoint import AtomicLocalBackend, allow_mmengine_checkpoints
from .schedulers import UnshiftedCosineAnnealingLR

__all__ = ['AtomicLocalBackend', 'UnshiftedCosineAnnealingLR', 'allow_mmengine_checkpoints']
