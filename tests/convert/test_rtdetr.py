"""Weights of RT-DETRv2 are those of RT-DETR under other names, and all converted ones compute what theirs do."""

import re

import pytest
import torch

from mmspartan.convert.dfine import edge_settings
from mmspartan.convert.rtdetr import points_of_levels, rtdetr_from_authors, rtdetr_options
from mmspartan.convert.rtdetr_hf import rtdetr_from_hugging_face
from tests.conftest import Golden
from tests.convert.stored import of_deim, of_deimv2, of_deimv2_hugging_face, of_hugging_face

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


DFINE, V2 = '_base_/models/dfine', 'deimv2_hgnetv2_pico_coco'
# The file, the network in it, its reader, the activation, and the config that the options are of.
GOLDEN = [
    *((of_hugging_face, size, rtdetr_from_hugging_face, 'relu', DFINE) for size in 'nsmlx'),
    (of_deim, 'dfine', rtdetr_from_authors, 'silu', DFINE),
    (of_deim, 'rtdetrv2', rtdetr_from_authors, 'silu', '_base_/models/rtdetr'),
    *((of_deimv2, size, rtdetr_from_authors, 'silu', V2) for size in ('atto', 'femto', 'pico')),
    (of_deimv2, 'n', rtdetr_from_authors, 'silu', 'deimv2_hgnetv2_n_coco'),
    (of_deimv2_hugging_face, 'atto', rtdetr_from_hugging_face, 'silu', V2),
    (of_deimv2_hugging_face, 'n', rtdetr_from_hugging_face, 'silu', 'deimv2_hgnetv2_n_coco'),
]
ADDED = {f'model.enc_output.{i}.{name}' for i in range(2) for name in ('weight', 'bias')}  # by DEIMv2 of transformers


@pytest.mark.parametrize(('read', 'kind', 'convert', 'activation', 'base'), GOLDEN)
def test_logits_and_boxes_are_those_of_the_code_that_the_weights_are_of(read, kind, convert, activation, base):
    theirs = read(kind)
    source = theirs.weights | theirs.settings
    weights, left_out = convert(source)
    assert left_out.keys() == theirs.settings.keys() | (ADDED if read is of_deimv2_hugging_face else set())
    options = rtdetr_options(weights, points_of_levels(source), activation=activation, edges=edge_settings(source))
    theirs.compare(base, options, weights)
