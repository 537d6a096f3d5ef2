"""Operations that a GPU is asked for: bounds by parts, which hold on every machine."""

import pytest
import torch
from mmengine.config import Config
from torch import nn

from mmspartan import config_path
from mmspartan.benchmark.costs import Operators
from mmspartan.benchmark.models import build
from mmspartan.benchmark.operations import PartOperators, count_inference, count_training_step
from mmspartan.ops.device import gpu_forms
from tests.conftest import last_line

pytestmark = pytest.mark.usefixtures('one_thread')


@pytest.mark.parametrize(
    ('name', 'step', 'losses'), [('rtdetr_spartan_t_coco', 5000, 400), ('rtdetr_r18vd_coco', 2000, 400)]
)
def test_training_step_of_a_detector(name, step, losses):
    counts = count_training_step(Config.fromfile(config_path(name)))
    averaging = counts.pop('averaged weights')
    assert 0 < averaging <= 20
    assert sum(counts.values()) <= step, counts
    assert counts['matching'] + counts['head and losses'] <= losses, counts  # of all layers and of denoising
    assert 0 < counts['optimizer'] <= 40 and 0 < counts['clipping'] <= 10 and counts['logging'] <= 60


@pytest.mark.parametrize('name', ['spartan_xt_in1k', 'spartan_xt_cifar10'])  # the second with a fused optimizer
def test_training_step_of_a_classifier_has_two_groups_of_parameters(name):
    counts = count_training_step(Config.fromfile(config_path(name)), batch_size=2, size=64)
    assert 0 < counts['optimizer'] <= 20 and sum(counts.values()) <= 3000, counts


@pytest.mark.parametrize(('form', 'most'), [({}, 1550), (dict(deploy=True), 1350), (dict(graph=True), 40)])
def test_one_image(form, most):
    counts = count_inference(Config.fromfile(config_path('rtdetr_spartan_t_coco')), **form)
    assert 0 < sum(counts.values()) <= most, counts


def test_spartan_alone_has_no_more_than_the_plain_equations():
    def operations(what: str) -> int:
        options = {} if what == 'reference-t' else {'model.backbone.drop_path_rate': 0.0}  # which the reference lacks
        model, x = build(what, options=options).train(), torch.randn(2, 3, 64, 64)
        with Operators() as operators:
            model(x).square().mean().backward()
        return len(operators.names)

    with gpu_forms():
        assert operations(config_path('spartan_t_in1k')) <= operations('reference-t')


def test_parts_are_those_of_the_methods_that_run():
    inner, operators, x = nn.ReLU(), PartOperators(), torch.ones(2)
    with operators.of('part', inner, 'forward'), operators:
        inner(x) + 1
    assert operators.counts == {'part': 1, 'other': 1}
    with operators:
        inner(x)
    assert operators.counts == {'part': 1, 'other': 2}


def test_config_that_is_not_there(tmp_path):
    assert (
        last_line('analysis_tools/count_operations.py', 'absent.py', cwd=tmp_path) == 'absent.py: no such config file'
    )
