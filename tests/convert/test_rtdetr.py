"""Weights of RT-DETRv2 are those of RT-DETR under other names."""

import re

import pytest
import torch

from mmspartan.convert.rtdetr import points_of_levels, rtdetr_from_authors
from tests.conftest import Golden

NAMES = [
    (r'^(encoder\.input_proj\.\d)\.0\.', r'\1.conv.'),
    (r'^(encoder\.input_proj\.\d)\.1\.', r'\1.norm.'),
    (r'^decoder\.enc_output\.0\.', 'decoder.enc_output.proj.'),
    (r'^decoder\.enc_output\.1\.', 'decoder.enc_output.norm.'),
]
SCALE = 'decoder.decoder.layers.{}.cross_attn.num_points_scale'


@pytest.fixture(scope='module')
def version_1() -> dict[str, torch.Tensor]:
    return Golden('rtdetr_tiny.npz').group('sd')


@pytest.fixture
def version_2(version_1) -> dict[str, torch.Tensor]:
    weights = {}
    for key, value in version_1.items():
        for name, other in NAMES:
            key = re.sub(name, other, key)
        weights[key] = value
    return weights | {SCALE.format(i): torch.full((12,), 0.25) for i in range(2)}


def test_names_of_version_2_give_the_same_weights(version_1, version_2):
    assert version_2.keys() != version_1.keys()
    expected, _ = rtdetr_from_authors(version_1)
    found, left_out = rtdetr_from_authors(version_2)
    assert found.keys() == expected.keys() and all(torch.equal(found[key], expected[key]) for key in found)
    assert set(left_out) >= {SCALE.format(0), SCALE.format(1)}


def test_numbers_of_points_are_read_from_the_factors(version_1, version_2):
    assert points_of_levels(version_1) is None and points_of_levels(version_2) == [4, 4, 4]
    for i in range(2):
        version_2[SCALE.format(i)] = torch.tensor([1 / n for n in (3, 1, 2) for _ in range(n)])
    assert points_of_levels(version_2) == [3, 1, 2]
    assert set(rtdetr_from_authors(version_2)[1]) == {SCALE.format(0), SCALE.format(1)}


@pytest.mark.parametrize(
    'factors', [[0.25] * 4 + [0.125] * 8, [0.5] * 12, [0.25] * 11, [0.3] * 12, [0.0] * 12, [float('nan')] * 12, []]
)
def test_other_factors_are_refused(factors, version_2):
    version_2[SCALE.format(1)] = torch.tensor(factors)
    with pytest.raises(ValueError, match=r'layers\.1\.cross_attn\.num_points_scale.* is not 1/n for each of n points'):
        points_of_levels(version_2)


def test_layers_with_different_numbers_of_points_are_refused(version_2):
    version_2[SCALE.format(1)] = torch.tensor([0.5] * 6)
    with pytest.raises(ValueError, match=r'layers\.1.*is of \[2, 2, 2\] points on the levels.*it is of \[4, 4, 4\]'):
        points_of_levels(version_2)
