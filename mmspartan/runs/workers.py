"""Data loaders whose workers outlive a signal that is sent to all processes of a run.

Schedulers and terminals send SIGTERM and SIGINT to all processes of a run. If the workers ended at once, the main
process could not finish the current step, and PyTorch would raise an error in it.
"""

import atexit
import multiprocessing
import os
import signal
from collections.abc import Callable
from typing import Any

from torch.utils.data import DataLoader

from ..compat import with_class

HELD = {signal.SIGTERM, signal.SIGINT}


class HoldingDataLoader(DataLoader):
    """A data loader that holds SIGTERM and SIGINT back while its workers start.

    PyTorch's own handler, which a worker has until :class:`WorkerInit` runs in it, would end it.
    """

    def __iter__(self) -> Any:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, HELD)
        try:
            return super().__iter__()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


class WorkerInit:
    """A data loader's ``worker_init_fn`` that calls another one, and lets workers run on after a signal."""

    grace = 120.0  # seconds, since the main process may need their batches until its step or validation loss is done

    def __init__(self, init: Callable[[int], None] | None):
        self.init = init

    def __call__(self, worker: int) -> None:
        if self.init is not None:
            self.init(worker)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process ends its workers
        signal.signal(signal.SIGTERM, lambda *_: signal.setitimer(signal.ITIMER_REAL, self.grace))
        signal.signal(signal.SIGALRM, lambda *_: os._exit(0))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD)


def end_workers() -> None:
    """End the workers that still run when the process exits: multiprocessing would send SIGTERM, and wait for them."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # PyTorch's handler would raise an error for each
    for child in multiprocessing.active_children():
        if child.daemon:
            child.kill()


def keep_workers_alive(loader: DataLoader) -> DataLoader:
    """Make the workers of a data loader that has not started any outlive signals for a while; returns the loader."""
    if type(loader) is DataLoader:
        loader.worker_init_fn = WorkerInit(loader.worker_init_fn)
        with_class(loader, HoldingDataLoader)
        atexit.unregister(end_workers)
        atexit.register(end_workers)
    return loader
