"""One process for each model, which waits until it is its turn.

Thread pools of PyTorch, ONNX Runtime and OpenVINO spin for a while after their work. In one process they take the cores
from each other: one library is then measured with the idle threads of another beside it.
"""

import logging
import multiprocessing
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch

from .costs import multiply_adds, peak_bytes, saved_bytes
from .models import autocast, build, runner
from .timing import timed

IDLE = 0.1  # seconds between two models, until the threads of the one before are asleep
TURN = 0.3  # seconds of a turn, at least one run
WARM_UP = 2  # turns that do not count

_run: Callable[[], object]  # in a worker, runs its model once


@dataclass(frozen=True)
class Settings:
    """What all models of a benchmark have in common."""

    batch_size: int
    size: int  # height and width of the images
    train: bool  # whether a run is a training step instead of an inference
    dtype: str
    tf32: bool  # whether products of float32 are in TensorFloat-32
    threads: int  # on the CPU
    device: str
    options: dict[str, Any] = field(default_factory=dict)  # that override those of configs, by dotted names


@dataclass
class Measured:
    """What is measured of a model."""

    name: str
    parameters: int
    multiply_adds: float  # in units of 1e9
    saved: int | None  # bytes that a training step keeps for its backward pass
    peak_memory: int | None  # bytes in use at most, besides weights and images; of an inference on GPUs only
    times: list[float]  # milliseconds, one entry a turn: the median of the runs of this turn

    def quartiles(self) -> tuple[float, float, float]:
        low, median, high = statistics.quantiles(self.times, n=4, method='inclusive')
        return low, median, high


def measure(
    models: Sequence[tuple[str, str, str]],
    settings: Settings,
    rounds: int,
    progress: Callable[[str], None] = lambda text: None,
) -> list[Measured]:
    """Measure models in turns: each once, then each again.

    Args:
        models: Name in the result, name of the model and form of each.
        settings: What they have in common.
        rounds: Turns of each model that count, at least 2.
        progress: Is called with what is being done.

    Raises:
        InputError: If a model cannot be built.
        RuntimeError: If a process ends early, for instance for want of memory.
    """
    # the server of forks imports all once; CUDA does not survive a fork of a process that asked for GPUs
    context: Any = multiprocessing.get_context('spawn' if settings.device.startswith('cuda') else 'forkserver')
    if hasattr(context, 'set_forkserver_preload'):
        context.set_forkserver_preload([__name__])
    with ExitStack() as stack:
        workers, measured = [], []
        for name, what, form in models:  # one at a time, so that building does not disturb building
            progress(f'building {name}')
            workers.append(stack.enter_context(ProcessPoolExecutor(1, context)))
            measured.append(Measured(name, **workers[-1].submit(_prepare, what, form, settings).result(), times=[]))
        for i in range(WARM_UP + rounds):
            progress(f'round {i + 1} of {WARM_UP + rounds}')
            for worker, record in zip(workers, measured):
                time.sleep(0 if settings.device.startswith('cuda') else IDLE)
                turn = worker.submit(_turn, settings.device).result()
                if i >= WARM_UP:
                    record.times.append(turn)
        return measured


def _turn(device: str) -> float:
    _run()  # wakes the threads and fills the caches
    times, began = [timed(_run, device)], time.perf_counter()
    while time.perf_counter() - began < TURN:
        times.append(timed(_run, device))
    return statistics.median(times)


def _prepare(what: str, form: str, settings: Settings) -> dict[str, Any]:
    """Build the worker's model, run it once and return the other entries of :class:`Measured`."""
    global _run
    warnings.simplefilter('ignore')
    logging.disable(logging.WARNING)
    torch.set_num_threads(settings.threads)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = settings.tf32
    x = torch.randn(settings.batch_size, 3, settings.size, settings.size, device=settings.device)
    dtype = getattr(torch, settings.dtype)
    model, _run = runner(what, form, x, settings.train, dtype, settings.options)
    _run()  # compiles the model
    plain = build(what, options=settings.options).to(x.device)
    facts: dict[str, Any] = dict(
        parameters=sum(p.numel() for p in plain.parameters()),
        multiply_adds=multiply_adds(plain, x),
        saved=None,
        peak_memory=None,
    )
    if settings.train:
        with autocast(x, dtype):
            facts.update(saved=saved_bytes(model, x), peak_memory=peak_bytes(_run, settings.device))
    elif x.is_cuda and not form.endswith('graph'):  # a captured graph holds its memory between the runs as well
        facts['peak_memory'] = peak_bytes(_run, settings.device)
    return facts
