"""On which kind of device operations run: the predicate by which forms for CPUs and for GPUs are told apart."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

_forms_of_gpus = False  # set by `gpu_forms`


def on_gpu(x: Tensor) -> bool:
    """Whether operations on ``x`` take their form for GPUs."""
    return x.is_cuda or _forms_of_gpus


def has_gpu() -> bool:
    """Whether networks are built for GPUs."""
    return torch.cuda.is_available() or _forms_of_gpus


@contextmanager
def gpu_forms() -> Iterator[None]:
    """Within this context everything takes its form for GPUs wherever it runs: to count operations, and in tests."""
    global _forms_of_gpus
    before, _forms_of_gpus = _forms_of_gpus, True
    try:
        yield
    finally:
        _forms_of_gpus = before
