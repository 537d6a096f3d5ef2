"""Random numbers that depend only on the position in the training, so that a resumed run draws the same ones.

mmengine seeds each process once. The numbers that an augmentation draws then depend on the state of the generators,
which a checkpoint does not hold, and workers that restart in each epoch draw the same numbers again. Here each sample
is seeded by (seed, process, epoch, batch, index in the batch) and each iteration by (seed, process, iteration).
"""

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from mmengine.device import get_device
from mmengine.dist import get_rank
from mmengine.registry import DATA_SAMPLERS
from torch.utils.data import get_worker_info

from ..errors import InputError


def seed_from(*entropy: int) -> None:
    """Seed the generators of Python, NumPy and torch from a sequence of integers.

    The generators of GPUs are seeded too, except in the workers of data loaders, which do not use GPUs.
    """
    words = np.random.SeedSequence(entropy).generate_state(4)
    random.seed(int(words[0]))
    np.random.seed(words[1])
    seed = int(words[2]) << 32 | int(words[3])
    if get_device() == 'cpu' or get_worker_info() is not None:
        # torch.manual_seed formats a stack trace for each kind of device that is not in use: a millisecond a sample
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)


class SeededBatch(list):
    """Indices of a batch. Iterating over them, as a data loader's worker does, seeds the generators for each sample."""

    def __init__(self, indices: list[int], position: tuple[int, ...]):
        super().__init__(indices)
        self.position = position

    def __iter__(self) -> Iterator[int]:
        for i, index in enumerate(super().__iter__()):
            seed_from(*self.position, i)
            yield index

    def __reduce__(self):
        return SeededBatch, (list(super().__iter__()), self.position)


@DATA_SAMPLERS.register_module()
class SeededBatchSampler:
    """A batch sampler whose batches are :class:`SeededBatch`, and which can start in the middle of an epoch.

    Args:
        sampler, batch_size, drop_last: As of torch's ``BatchSampler``.
        seed (int): Seed of the training. Defaults to 0.
        batch_sampler (dict, optional): Config of a batch sampler that forms the batches instead of torch's.
    """

    def __init__(
        self, sampler: Any, batch_size: int, drop_last: bool = False, seed: int = 0, batch_sampler: dict | None = None
    ):
        if drop_last and batch_sampler is not None:  # torch refuses it as well
            raise InputError('train_dataloader: drop_last is of no use beside batch_sampler, which may have one itself')
        self.batch_size, self.drop_last, self.inner = batch_size, drop_last, batch_sampler
        self.seed = seed
        self.epoch = self.skip = 0
        self.restart(sampler)

    def restart(self, sampler: Any) -> None:
        """Form batches of a sampler's indices from its first one on."""
        self.sampler = sampler
        options = dict(sampler=sampler, batch_size=self.batch_size)
        if self.inner is None:
            self.batch_sampler = torch.utils.data.BatchSampler(**options, drop_last=self.drop_last)
        else:
            self.batch_sampler = DATA_SAMPLERS.build(self.inner, default_args=options)
        self.start(0, 0)

    def start(self, epoch: int, skip: int) -> None:
        """Set the next epoch and the number of its batches to skip, since they were trained before a resume."""
        self.epoch, self.skip = epoch, skip

    def __iter__(self) -> Iterator[SeededBatch]:
        skip, self.skip = self.skip, 0
        position = (self.seed, get_rank(), self.epoch)
        self.epoch += 1  # of the next pass, unless it is started
        seed_from(*position)  # for samplers that draw from torch's global generator
        for number, indices in enumerate(self.batch_sampler):
            if number >= skip:
                yield SeededBatch(list(indices), (*position, number))

    def __len__(self) -> int:
        return len(self.batch_sampler)
