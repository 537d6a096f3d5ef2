"""Averaged weights: the values of mmdet's loop, in a handful of operations."""

import pytest
import torch
from mmdet.models.layers import ExpMomentumEMA
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from mmspartan import config_path
from mmspartan.benchmark.costs import Operators
from mmspartan.runs.hooks.foreach_ema import ForeachExpMomentumEMA


@pytest.fixture(scope='module')
def detector() -> torch.nn.Module:
    init_default_scope('mmdet')
    torch.manual_seed(0)
    return MODELS.build(Config.fromfile(config_path('rtdetr_spartan_t_coco')).model)


@pytest.mark.parametrize('update_buffers', [True, False])
def test_values_are_those_of_the_loop_bit_by_bit(update_buffers, detector):
    options = dict(momentum=1e-4, gamma=2000, update_buffers=update_buffers)
    loop, at_once = (kind(detector, **options) for kind in (ExpMomentumEMA, ForeachExpMomentumEMA))
    for _ in range(3):
        for value in detector.state_dict().values():
            value.copy_(value + 1 if value.dtype == torch.long else torch.randn_like(value))
        loop.update_parameters(detector)
        at_once.update_parameters(detector)
    expected, found = loop.state_dict(), at_once.state_dict()
    assert found.keys() == expected.keys() and all(torch.equal(found[key], expected[key]) for key in expected)


def test_a_tensor_of_two_names_is_averaged_once():
    tied = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    tied[1].weight = tied[0].weight
    single = torch.nn.Linear(2, 2)
    single.load_state_dict(tied[0].state_dict())
    averages = [ForeachExpMomentumEMA(model, gamma=2, update_buffers=True) for model in (tied, single)]
    for i in range(4):
        for model, average in zip((tied, single), averages):
            model.state_dict()['0.weight' if model is tied else 'weight'].fill_(i)
            average.update_parameters(model)
    assert torch.equal(averages[0].module[1].weight, averages[1].module.weight)


def test_a_step_of_the_published_detector_launches_less_than_100_operations(detector):
    hooks = Config.fromfile(config_path('rtdetr_spartan_t_coco')).custom_hooks
    (options,) = (hook for hook in hooks if 'ema_type' in hook)
    counts = []
    for name in (options.pop('ema_type'), 'mmdet.ExpMomentumEMA'):
        settings = {key: options[key] for key in ('momentum', 'gamma', 'update_buffers')}
        average = MODELS.build(dict(type=name, model=detector, **settings))
        average.update_parameters(detector)  # the first one copies
        with torch.no_grad(), Operators() as operators:
            average.update_parameters(detector)
        counts.append(len(operators.names))
    assert counts[0] < 100 < 5000 < counts[1]
