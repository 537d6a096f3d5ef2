"""Random numbers that depend on the place in the training alone, so that a resumed run draws what an unbroken one does.

mmengine seeds the processes of a training once. Which numbers an augmentation draws then depends on all that was drawn
before, of which a checkpoint holds nothing, and workers that start anew in each epoch draw the same again. Here each
sample starts from a seed made of (seed, process, epoch, batch, place in the batch) and each iteration from one made of
(seed, process, iteration).
"""

import os
import random
import signal
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from mmengine.dist import get_rank
from mmengine.registry import DATA_SAMPLERS, FUNCTIONS


def seed_from(*place: int) -> None:
    """Start Python's, numpy's and torch's generators, those of GPUs included, from a seed made of these numbers."""
    words = np.random.SeedSequence(place).generate_state(4)
    random.seed(int(words[0]))
    np.random.seed(words[1])
    torch.manual_seed(int(words[2]) << 32 | int(words[3]))


class SeededBatch(list):
    """Indices of a batch; whoever iterates over them, a loader's worker, draws for each from a seed of its own."""

    def __init__(self, indices: list[int], place: tuple[int, ...]):
        super().__init__(indices)
        self.place = place

    def __iter__(self) -> Iterator[int]:
        for i, index in enumerate(super().__iter__()):
            seed_from(*self.place, i)
            yield index

    def __reduce__(self):
        return SeededBatch, (list(super().__iter__()), self.place)


@DATA_SAMPLERS.register_module()
class SeededBatchSampler:
    """A batch sampler whose batches are :class:`SeededBatch`, and which can start in the middle of an epoch.

    Args:
        sampler: Sampler of indices.
        batch_size (int): Indices of a batch.
        drop_last (bool): Leave out a last batch that is not full. Defaults to False.
        seed (int): The training's.
        batch_sampler (dict, optional): Config of the batch sampler to take the batches from. Defaults to torch's
            ``BatchSampler``.
    """

    def __init__(
        self, sampler: Any, batch_size: int, drop_last: bool = False, seed: int = 0, batch_sampler: dict | None = None
    ):
        options = dict(sampler=sampler, batch_size=batch_size)
        if batch_sampler is None:
            self.batch_sampler = torch.utils.data.BatchSampler(**options, drop_last=drop_last)
        else:
            self.batch_sampler = DATA_SAMPLERS.build(batch_sampler, default_args=options)
        self.sampler = sampler
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = self.skip = 0

    def start(self, epoch: int, skip: int) -> None:
        """Say which epoch comes next, and how many of its batches are left out since they were trained already."""
        self.epoch, self.skip = epoch, skip

    def __iter__(self) -> Iterator[SeededBatch]:
        skip, self.skip = self.skip, 0
        place = (self.seed, get_rank(), self.epoch)
        seed_from(*place)  # for samplers that draw from torch's own generator
        for number, indices in enumerate(self.batch_sampler):
            if number >= skip:
                yield SeededBatch(list(indices), (*place, number))

    def __len__(self) -> int:
        return len(self.batch_sampler)


class WorkerInit:
    """A loader's ``worker_init_fn`` that makes workers outlive a signal by some seconds.

    Schedulers and terminals send SIGTERM and SIGINT to all processes of a run. If its workers died at once, the main
    process could not finish the step that it is in.

    Args:
        init: Config of the ``worker_init_fn`` to call first, as mmengine takes it.
    """

    grace = 5.0  # seconds

    def __init__(self, init: dict | None):
        self.init: Callable[[int], None] | None = None
        if init is not None:
            function, options = init['type'], {key: value for key, value in init.items() if key != 'type'}
            self.init = partial(FUNCTIONS.get(function) if isinstance(function, str) else function, **options)

    def __call__(self, worker: int) -> None:
        if self.init is not None:
            self.init(worker)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process ends its workers
        signal.signal(signal.SIGTERM, lambda *_: signal.setitimer(signal.ITIMER_REAL, self.grace))
        signal.signal(signal.SIGALRM, lambda *_: os._exit(0))
