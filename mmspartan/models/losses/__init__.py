from .varifocal_loss import IoUVarifocalLoss

__all__ = ['IoUVarifocalLoss']
