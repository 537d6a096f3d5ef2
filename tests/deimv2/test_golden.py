"""DEIMv2 computes what the authors' implementation computes, in every size with HGNetV2 (float64)."""

from functools import partial

import pytest
from mmengine.registry import TASK_UTILS

from tests.deimv2.make_golden import SIZES, weight
from tests.dfine.golden import Golden


@pytest.fixture(scope='module', params=SIZES)
def golden(request) -> Golden:
    size = request.param
    return Golden('deimv2.npz', size, f'deimv2_hgnetv2_{size}_coco', partial(weight, size=size))


def test_logits_and_boxes(golden):
    golden.assert_outputs()


def test_each_loss_and_the_gradients_of_computed_and_of_given_matches(golden, monkeypatch):
    golden.assert_losses_and_gradients(monkeypatch)


def test_each_loss_in_the_last_epochs(golden, monkeypatch):
    costs = [TASK_UTILS.build(dict(type='ScoreIoUCost', power=4.0))]
    monkeypatch.setattr(golden.model.bbox_head.assigner, 'match_costs', costs)
    golden.assert_losses(golden.losses(), 'last')
