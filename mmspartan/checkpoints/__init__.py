"""Checkpoints of tensors and plain containers, written as a whole or not at all, and read without running code."""

from .checkpoint import AtomicLocalBackend

__all__ = ['AtomicLocalBackend']
