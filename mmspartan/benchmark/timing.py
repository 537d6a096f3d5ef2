"""The time of one run on a CPU or a GPU."""

import time
from collections.abc import Callable

import torch


def timed(run: Callable[[], object], device: str) -> float:
    """Return the time of one run in milliseconds; on a GPU that between two events."""
    if device.startswith('cuda'):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        run()
        end.record()
        torch.cuda.synchronize()
        return start.elapsed_time(end)
    began = time.perf_counter()
    run()
    return (time.perf_counter() - began) * 1e3
