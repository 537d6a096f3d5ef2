"""The kernels in which a run spends its time, by torch.profiler."""

from collections.abc import Callable
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

RUNS = 3


def slowest_kernels(run: Callable[[], object], device: str, count: int = 10) -> list[tuple[str, float, float]]:
    """Return name, launches and milliseconds of all kernels together, then of those that take longest.

    Launches and milliseconds are those of one run, a mean of three. On a CPU they are of operators, without the
    operators that they call.
    """
    on_gpu = device.startswith('cuda')
    with profile(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]) as profiled:
        for _ in range(RUNS):
            run()
        if on_gpu:
            torch.cuda.synchronize()
    found = []
    for event in profiled.key_averages():
        # regions that compiled code marks are on the GPU's time line too, and contain kernels
        if (event.device_type == DeviceType.CUDA) == on_gpu and not getattr(event, 'is_user_annotation', False):
            found.append((event.key, event.count / RUNS, _microseconds(event, on_gpu) / RUNS / 1e3))
    found.sort(key=lambda kernel: -kernel[2])
    _, launches, times = zip(*found)
    return [('all', sum(launches), sum(times)), *found[:count]]


def _microseconds(event: Any, on_gpu: bool) -> float:
    if not on_gpu:
        return event.self_cpu_time_total
    return event.self_device_time_total if hasattr(event, 'self_device_time_total') else event.self_cuda_time_total
