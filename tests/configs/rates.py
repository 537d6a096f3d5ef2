"""What a config's optimizer and schedulers do to the parameters of its network."""

from collections.abc import Iterator
from typing import Literal

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, PARAM_SCHEDULERS

from mmspartan.runs.optim_wrapper_constructor import tagged_parameters


def rates_and_decays(cfg: Config) -> dict[str, tuple[float, float] | None]:
    """Return learning rate and weight decay of each parameter by its tagged name, None for frozen ones."""
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper).optimizer
    values = {id(p): (group['lr'], group['weight_decay']) for group in optimizer.param_groups for p in group['params']}
    found = {key: values.get(id(parameter)) for key, parameter in tagged_parameters(model)}
    assert all((found[key] is None) != parameter.requires_grad for key, parameter in tagged_parameters(model))
    return found


def assert_rates(
    cfg: Config,
    rate: float,
    backbone: float,
    decay: float = 1e-4,
    biases_decay: bool = False,
    norms: Literal['as the backbone', 'without decay', 'as elsewhere'] = 'as the backbone',
) -> set[str]:
    """Check learning rate and weight decay of each parameter; return the names of frozen ones.

    Outside of the backbone normalizations have no decay, and biases have some if ``biases_decay``. ``norms`` are the
    normalizations of the backbone.
    """
    values = rates_and_decays(cfg)
    for key, found in values.items():
        is_norm, is_bias = '[norm]' in key, key.endswith('bias')
        inside = key.startswith('backbone.') and not (is_norm and norms == 'as elsewhere')
        spared = is_norm and norms == 'without decay' if inside else is_norm or (is_bias and not biases_decay)
        expected = (backbone if inside else rate, 0 if spared else decay)
        assert found is None or found == pytest.approx(expected), key
    return {key for key, found in values.items() if found is None}


def rates_of_iterations(cfg: Config, count: int, epoch_length: int, *bases: float) -> Iterator[list[float]]:
    """Yield the learning rates in so many iterations of groups of parameters, whose rates are ``bases`` at first."""
    groups = [dict(params=[torch.nn.Parameter(torch.zeros(1))], lr=base) for base in bases]
    optimizer = torch.optim.SGD(groups, lr=1.0)
    options = dict(optimizer=optimizer, epoch_length=epoch_length)
    schedulers = [PARAM_SCHEDULERS.build(scheduler, default_args=options) for scheduler in cfg.param_scheduler]
    for _ in range(count):
        yield [group['lr'] for group in optimizer.param_groups]
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
