"""Optimizers of configs run on every device and torch that this package supports."""

import pytest
import torch
from torch import nn

from mmspartan.runs import optim_wrapper_constructor
from mmspartan.runs.optim_wrapper_constructor import RegexOptimWrapperConstructor

WRAPPER = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-3, fused=True))


def build(model: nn.Module) -> torch.optim.Optimizer:
    constructor = RegexOptimWrapperConstructor(dict(WRAPPER, optimizer=dict(WRAPPER['optimizer'])), dict(rules=[]))
    return constructor(model).optimizer


def test_fused_optimizer_trains_whether_or_not_torch_has_one_for_the_device():
    model = nn.Linear(3, 2)
    optimizer, before = build(model), model.weight.detach().clone()
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    assert not torch.equal(model.weight, before)


@pytest.mark.parametrize('fuses', [True, False])
def test_optimizer_is_fused_where_torch_can(fuses, monkeypatch):
    if fuses and not optim_wrapper_constructor.fuses(nn.Linear(3, 2)):
        pytest.skip(f'torch {torch.__version__} has no fused optimizers on a CPU, 2.4 has')
    monkeypatch.setattr(optim_wrapper_constructor, 'fuses', lambda model: fuses)
    assert build(nn.Linear(3, 2)).defaults['fused'] is fuses
