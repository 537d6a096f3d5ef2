"""D-FINE computes what the authors' implementation computes, in every size (float64)."""

import pytest

from tests.dfine.golden import Golden
from tests.dfine.make_golden import SIZES, weight


@pytest.fixture(scope='module', params=SIZES)
def golden(request) -> Golden:
    return Golden('dfine.npz', request.param, f'dfine_hgnetv2_{request.param}_coco', weight)


def test_logits_and_boxes(golden):
    golden.assert_outputs()


def test_each_loss_and_the_gradients(golden):
    losses = golden.losses()
    golden.assert_losses(losses, 'loss', 'loss_vfl')
    golden.assert_gradients(losses)
