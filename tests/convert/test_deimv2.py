"""Weights of DEIMv2: its shared branch, weights of others, and settings that the weights do not show."""

import re

import pytest
import torch

from mmspartan.convert.dfine import edge_settings
from mmspartan.convert.rtdetr import points_of_levels, rtdetr_from_authors, rtdetr_options
from mmspartan.convert.rtdetr_hf import rtdetr_from_hugging_face
from tests.convert.stored import assert_setting_is_refused, of_deimv2, of_deimv2_hugging_face


def test_shared_branch_may_be_stored_once():
    weights = of_deimv2('atto').weights
    once = {key: value for key, value in weights.items() if not re.search(r'dec_bbox_head\.[12]', key)}
    assert len(weights) - len(once) == 12
    found, expected = rtdetr_from_authors(once)[0], rtdetr_from_authors(weights)[0]
    assert found.keys() == expected.keys() and all(torch.equal(found[key], expected[key]) for key in found)


def test_branches_that_differ_are_not_shared():
    theirs = of_deimv2('atto')
    source = theirs.weights | theirs.settings
    source['decoder.dec_bbox_head.1.layers.2.bias'] = source['decoder.dec_bbox_head.1.layers.2.bias'] + 1
    weights = rtdetr_from_authors(source)[0]
    options = rtdetr_options(weights, points_of_levels(source), activation='silu', edges=edge_settings(source))
    assert 'share_reg_branches' not in options['bbox_head']


@pytest.mark.parametrize(
    ('change', 'problem'),
    [
        ({'model.enc_output.0.weight': torch.zeros(64, 64)}, "'model.enc_output.0.weight' was trained"),
        ({'model.enc_output.1.bias': torch.ones(64)}, "'model.enc_output.1.bias' was trained"),
        ({'model.decoder.layers.1.mlp.up_proj.bias': None}, 'layers.1.mlp.up_proj.bias'),
        ({'model.decoder.layers.1.mlp.gate_proj.bias': None}, 'layers.1.mlp.gate_proj.bias'),
    ],
)
def test_other_weights_of_hugging_face(change, problem):
    weights = of_deimv2_hugging_face('atto').weights | change
    with pytest.raises(ValueError, match=re.escape(problem)):
        rtdetr_from_hugging_face({key: value for key, value in weights.items() if value is not None})


def test_sizes_with_dinov3_are_named():
    with pytest.raises(ValueError, match='DINOv3'):
        rtdetr_from_authors({'backbone.dinov3.norm.weight': torch.ones(1)})


@pytest.mark.parametrize(
    ('size', 'option', 'value'),
    [
        ('n', 'encode_proj_layers', [0]),
        ('n', 'encoder_fuse_op', 'cat'),
        ('n', 'encoder_has_trailing_conv', False),
        ('n', 'decoder_activation_function', 'relu'),
        ('atto', 'layer_scale', 2.0),
        ('atto', 'eval_idx', 1),
        ('atto', 'backbone_config.hidden_act', 'gelu'),
    ],
)
def test_settings_that_the_weights_do_not_show(size, option, value, tmp_path):
    assert_setting_is_refused(of_deimv2_hugging_face(size).config, option, value, tmp_path)
