"""One process for each model, which waits until it is its turn.

Thread pools of PyTorch, ONNX Runtime and OpenVINO spin for a while after their work. In one process they take the cores
from each other: one library is then measured with the idle threads of another beside it.
"""

import logging
import multiprocessing
import statistics
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection
from typing import Any

import torch

from ..errors import InputError
from .costs import multiply_adds, peak_bytes, saved_bytes
from .kernels import slowest_kernels
from .models import autocast, build, runner
from .peak import peak
from .timing import timed

IDLE = 0.1  # seconds between two models, until the threads of the one before are asleep
TURN = 0.3  # seconds of a turn, at least one run
WARM_UP = 2  # turns that do not count


@dataclass(frozen=True)
class Settings:
    """What all models of a benchmark have in common.

    Attributes:
        batch_size: Images of a run.
        size: Height and width of the images.
        train: Whether a run is a training step instead of an inference.
        dtype: Name of the precision.
        tf32: Whether products of float32 are in TensorFloat-32.
        threads: Threads on the CPU.
        device: As of ``torch.device``.
        options: Settings that override those of configs, by dotted names.
    """

    batch_size: int
    size: int
    train: bool
    dtype: str
    tf32: bool
    threads: int
    device: str
    options: dict[str, Any] = field(default_factory=dict)


@dataclass
class Measured:
    """A model and the milliseconds of its runs, one entry a turn: the median of the runs of this turn.

    ``saved`` are the bytes that a training step keeps for its backward pass. ``peak_memory`` are those in use at most
    during a run, in addition to weights and images; of an inference they are measured on GPUs only. ``first`` are the
    milliseconds of the first run of all, in which a model is compiled.
    """

    name: str
    parameters: int
    multiply_adds: float
    saved: int | None
    peak_memory: int | None
    times: list[float]
    first: float | None = None

    def quartiles(self) -> tuple[float, float, float]:
        low, median, high = statistics.quantiles(self.times, n=4, method='inclusive')
        return low, median, high

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class Worker:
    """A process that holds one model. ``close`` ends it."""

    def __init__(self, what: str, form: str, settings: Settings):
        # the server of forks imports all once; CUDA does not survive a fork of a process that asked for GPUs
        context: Any = multiprocessing.get_context('spawn' if settings.device.startswith('cuda') else 'forkserver')
        if hasattr(context, 'set_forkserver_preload'):
            context.set_forkserver_preload([__name__])
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, what, form, settings), daemon=True)
        self._process.start()
        theirs.close()

    def ask(self, what: str, timeout: float | None = None) -> Any:
        """Send a request, ``'turn'`` or ``'kernels'``, and return what :meth:`answer` returns."""
        self._pipe.send(what)
        return self.answer(timeout)

    def answer(self, timeout: float | None = None) -> Any:
        """Return the answer to the oldest request; the first answer of a process are the facts of its model.

        Raises:
            InputError: With the message of the process, if the model cannot be built.
            RuntimeError: If the process failed, with its error, an empty line and its traceback; or if it ended.
            TimeoutError: If there is no answer within ``timeout`` seconds.
        """
        if not self._pipe.poll(timeout):
            raise TimeoutError(f'no answer in {timeout:.0f} seconds')
        try:
            kind, value = self._pipe.recv()
        except EOFError:
            self._process.join()
            raise RuntimeError(f'a process of the benchmark ended with the code {self._process.exitcode}') from None
        if kind == 'error':
            raise InputError(value)
        if kind == 'failure':
            raise RuntimeError(value)
        return value

    def close(self, patience: float = 10) -> None:
        """End the process, by force after ``patience`` seconds."""
        self._pipe.close()
        self._process.join(timeout=patience)
        if self._process.is_alive():
            self._process.kill()


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
    """
    workers: list[Worker] = []
    try:
        measured = []
        for name, what, form in models:  # one at a time, so that building does not disturb building
            progress(f'building {name}')
            workers.append(Worker(what, form, settings))
            measured.append(Measured(name, **workers[-1].answer(), times=[]))
        for i in range(WARM_UP + rounds):
            progress(f'round {i + 1} of {WARM_UP + rounds}')
            for worker, record in zip(workers, measured):
                time.sleep(0 if settings.device.startswith('cuda') else IDLE)
                turn = worker.ask('turn')
                if i >= WARM_UP:
                    record.times.append(turn)
        return measured
    finally:
        for worker in workers:
            worker.close()


def measure_peak(settings: Settings, dtype: str) -> float:
    """Return :func:`~mmspartan.benchmark.peak.peak`, measured in a process of its own."""
    worker = Worker('', '', settings)
    try:
        return worker.ask(dtype)
    finally:
        worker.close()


def _serve(pipe: Connection, what: str, form: str, settings: Settings) -> None:
    warnings.simplefilter('ignore')
    logging.disable(logging.WARNING)
    torch.set_num_threads(settings.threads)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = settings.tf32
    try:
        if not what:
            pipe.send(('value', peak(settings.device, pipe.recv())))
            return
        x = torch.randn(settings.batch_size, 3, settings.size, settings.size, device=settings.device)
        run, facts = _prepare(what, form, x, settings)
        pipe.send(('value', facts))
        requests: dict[str, Callable[..., Any]] = {'turn': _turn, 'kernels': slowest_kernels}
        while True:
            pipe.send(('value', requests[pipe.recv()](run, settings.device)))
    except InputError as error:
        pipe.send(('error', str(error)))
    except (EOFError, ConnectionError):  # the asking process closed the pipe
        pass
    except Exception as error:
        pipe.send(('failure', f'{type(error).__name__}: {error}\n\n{traceback.format_exc()}'))


def _turn(run: Callable[[], object], device: str) -> float:
    run()  # wakes the threads and fills the caches
    times, began = [timed(run, device)], time.perf_counter()
    while time.perf_counter() - began < TURN:
        times.append(timed(run, device))
    return statistics.median(times)


def _prepare(what: str, form: str, x: torch.Tensor, settings: Settings) -> tuple[Callable[[], object], dict[str, Any]]:
    """Return a function that runs the model once, and the other entries of :class:`Measured`."""
    dtype = getattr(torch, settings.dtype)
    model, run = runner(what, form, x, settings.train, dtype, settings.options)
    first = timed(run, settings.device)
    plain = build(what, options=settings.options).to(x.device)
    facts: dict[str, Any] = dict(
        parameters=sum(p.numel() for p in plain.parameters()),
        multiply_adds=multiply_adds(plain, x),
        saved=None,
        peak_memory=None,
        first=first,
    )
    if settings.train:
        with autocast(x, dtype):
            facts.update(saved=saved_bytes(model, x), peak_memory=peak_bytes(run, settings.device))
    elif x.is_cuda and not form.endswith('graph'):  # a captured graph holds its memory between the runs as well
        facts['peak_memory'] = peak_bytes(run, settings.device)
    return run, facts
