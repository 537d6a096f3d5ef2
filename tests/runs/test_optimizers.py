"""Optimizers of configs run on every device and torch that this package supports."""

import pytest
import torch
from torch import nn

from mmspartan.errors import InputError
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


@pytest.mark.parametrize(
    ('settings', 'entry'),
    [
        (dict(rules=[], custom_keys=dict(backbone=dict(lr_mult=0.1))), 'paramwise_cfg'),
        (dict(custom_keys=dict(backbone=dict(lr_mult=0.1))), 'paramwise_cfg'),
        (dict(rules=[dict(pattern='a', lr_multi=0.1)]), 'paramwise_cfg.rules.0'),
        (dict(rules=[dict(pattern='a'), dict(lr_mult=0.1)]), 'paramwise_cfg.rules.1'),
    ],
)
def test_keys_that_would_be_ignored_are_refused(settings, entry):
    with pytest.raises(InputError) as refused:
        RegexOptimWrapperConstructor(dict(WRAPPER), settings)
    assert refused.value.entry == f'optim_wrapper.{entry}'


def test_optimizer_that_is_not_registered_is_named():
    constructor = RegexOptimWrapperConstructor(dict(type='OptimWrapper', optimizer=dict(type='adamw')), dict(rules=[]))
    with pytest.raises(InputError, match="'adamw' is no registered optimizer"):
        constructor(nn.Linear(3, 2))


def test_a_missing_learning_rate_is_named():
    wrapper = dict(WRAPPER, optimizer=dict(type='AdamW', lr_=1e-3))
    with pytest.raises(InputError) as refused:
        RegexOptimWrapperConstructor(wrapper, dict(rules=[dict(pattern='x')]))(nn.Linear(3, 2))
    assert refused.value.entry == 'optim_wrapper.optimizer.lr'
