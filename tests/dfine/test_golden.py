"""D-FINE, in every size, and DEIM compute what the authors' implementations compute (float64)."""

import pytest

from tests.dfine.golden import Golden
from tests.dfine.make_golden import SIZES

GOLDEN = [
    *(('dfine.npz', size, f'dfine_hgnetv2_{size}_coco') for size in SIZES),
    ('deim.npz', 'dfine', 'deim_hgnetv2_n_coco'),
    ('deim.npz', 'rtdetrv2', 'deim_rtdetrv2_r18vd_coco'),
]


@pytest.fixture(scope='module', params=GOLDEN, ids=lambda case: case[2])
def golden(request) -> Golden:
    return Golden(*request.param)


def test_logits_and_boxes(golden):
    golden.assert_outputs()


def test_each_loss_and_the_gradients_of_computed_and_of_given_matches(golden, monkeypatch):
    golden.assert_losses_and_gradients(monkeypatch)
