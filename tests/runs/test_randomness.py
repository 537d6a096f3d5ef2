"""Each sample and each iteration draws numbers of its own, whatever was drawn before."""

import random
import traceback

import numpy as np
import pytest
import torch

from mmspartan.errors import InputError
from mmspartan.runs import randomness
from mmspartan.runs.randomness import SeededBatchSampler, seed_from


def drawn(*entropy: int) -> tuple:
    seed_from(*entropy)
    return random.random(), np.random.rand(), torch.rand(1).item()


def test_same_integers_give_the_same_numbers_and_others_do_not():
    first = drawn(0, 1, 2)
    assert not {*first} & {*drawn(0, 2, 1)} and drawn(0, 1, 2) == first


def test_each_pass_draws_other_numbers():
    batches = SeededBatchSampler(range(4), 2, seed=3)
    passes = [[batch.position for batch in batches] for _ in range(3)]
    assert passes == [[(3, 0, epoch, number) for number in range(2)] for epoch in range(3)]
    batches.start(1, 1)
    assert [batch.position for batch in batches] == passes[1][1:]


def test_batches_of_another_sampler_are_left_out_by_itself():
    with pytest.raises(InputError, match='drop_last is of no use beside batch_sampler'):
        SeededBatchSampler(range(4), 2, drop_last=True, batch_sampler=dict(type='AspectRatioBatchSampler'))


def test_no_stack_trace_is_formatted_for_each_sample(monkeypatch):
    monkeypatch.setattr(randomness, 'get_device', lambda: 'cpu')
    monkeypatch.setattr(traceback, 'format_stack', lambda *args: pytest.fail('a millisecond'))
    seed_from(0, 1)


@pytest.mark.parametrize(('worker', 'is_seeded'), [(None, True), ('a worker', False)])
def test_gpus_are_seeded_outside_the_workers_of_data_loaders(worker, is_seeded, monkeypatch):
    seeds = []
    monkeypatch.setattr(randomness, 'get_device', lambda: 'cuda')
    monkeypatch.setattr(randomness, 'get_worker_info', lambda: worker)
    monkeypatch.setattr(torch.cuda, 'manual_seed_all', seeds.append)
    seed_from(0, 1)
    assert bool(seeds) == is_seeded
