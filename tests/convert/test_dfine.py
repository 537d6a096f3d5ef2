"""Weights of D-FINE and HGNetV2: names of transformers 5, settings that are checked, backbones."""

import re

import pytest
import torch
from mmengine.registry import MODELS

from mmspartan.convert.dfine import edge_settings
from mmspartan.convert.hgnet import hgnet_from_authors, hgnet_options
from mmspartan.convert.rtdetr import rtdetr_options
from mmspartan.convert.rtdetr_hf import rtdetr_from_hugging_face
from mmspartan.dfine.hgnet import ARCHS
from tests.convert.stored import assert_setting_is_refused, of_hugging_face

# Patterns of names in files, and the names in models of transformers 5.
NAMES_IN_MODELS = [
    (r'encoder\.encoder\.', 'encoder.aifi.'),
    (r'\.out_proj\.', '.o_proj.'),
    (r'\.fc1\.', '.mlp.layers.0.'),
    (r'\.fc2\.', '.mlp.layers.1.'),
]


def test_names_of_transformers_5():
    weights = of_hugging_face('n').weights
    renamed = {}
    for key, value in weights.items():
        for pattern, name in NAMES_IN_MODELS:
            key = re.sub(pattern, name, key)
        renamed[key] = value
    assert len(renamed.keys() - weights.keys()) == 16 + 3 * 6  # of the encoder and of three decoder layers
    expected, found = rtdetr_from_hugging_face(weights)[0], rtdetr_from_hugging_face(renamed)[0]
    assert found.keys() == expected.keys() and all(torch.equal(found[key], expected[key]) for key in found)


@pytest.mark.parametrize(
    ('option', 'value'),
    [
        ('layer_scale', 2),
        ('eval_idx', 1),
        ('eval_size', [640, 640]),
        ('num_feature_levels', 3),
        ('encode_proj_layers', [0]),
        ('layer_norm_eps', 1e-6),
        ('decoder_activation_function', 'silu'),
        ('backbone_config.hidden_act', 'gelu'),
        ('backbone_config.stem_strides', [2, 1, 1, 1, 1]),
    ],
)
def test_settings_that_the_weights_do_not_show(option, value, tmp_path):
    assert_setting_is_refused(of_hugging_face('n').config, option, value, tmp_path)


@pytest.mark.parametrize(
    ('settings', 'problem'),
    [
        (dict(up=[0.25]), "'decoder.up' is 0.25; models of this package have 0.5"),
        (dict(reg_scale=[0.0]), "'decoder.reg_scale' should be one positive number"),
        (dict(reg_scale=[4.0, 4.0]), "'decoder.reg_scale' should be one positive number"),
        ({'reg_scale': [4.0], 'decoder.reg_scale': [8.0]}, 'is 8, and another copy of it is 4'),
    ],
)
def test_settings_of_other_models(settings, problem):
    weights = {f'decoder.{name}': torch.tensor(value) for name, value in settings.items()}
    with pytest.raises(ValueError, match=re.escape(problem)):
        edge_settings(weights)


def test_weights_without_settings_are_not_whole():
    theirs = of_hugging_face('n')
    source = theirs.weights | theirs.settings
    weights, _ = rtdetr_from_hugging_face(source)
    for points, edges in [(None, edge_settings(source)), ([6, 6], {}), ([6, 6], dict(up=0.5))]:
        with pytest.raises(ValueError, match='not a whole D-FINE'):
            rtdetr_options(weights, points, edges=edges)


@pytest.mark.parametrize('arch', ARCHS)
def test_backbone_is_recognized(arch):
    with torch.device('meta'):
        weights = MODELS.build(dict(type='HGNetV2', arch=arch)).state_dict(prefix='backbone.')
    assert hgnet_options(weights) == dict(type='HGNetV2', arch=arch)


def test_other_backbones():
    weights = hgnet_from_authors(
        {
            'stem.stem4.conv.weight': torch.zeros(16, 8, 1, 1),
            'stages.3.blocks.0.aggregation.1.conv.weight': torch.zeros(9, 8, 1, 1),
        }
    )
    with pytest.raises(ValueError, match=r'HGNetV2 with \(16, 9\) channels .* none of b0, b1'):
        hgnet_options(weights)


def test_other_backbones_of_three_stages():
    with torch.device('meta'):
        weights = MODELS.build(dict(type='HGNetV2', arch='b0', out_indices=(2,))).state_dict(prefix='backbone.')
    assert hgnet_options(weights) == dict(type='HGNetV2', arch='b0')
    wider = {key: torch.zeros(768, 8, 1, 1) if 'aggregation.1.conv' in key else value for key, value in weights.items()}
    message = 'with three stages, 768 channels and 2 blocks in the last one is none of atto, femto, b0'
    with pytest.raises(ValueError, match=message):
        hgnet_options(wider)
