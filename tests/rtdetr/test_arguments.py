"""What makes no sense in a detector's config is refused when it is built: class, option, what is allowed, value."""

import copy
import re

import pytest
import torch
from mmengine.registry import MODELS, DefaultScope

from tests.rtdetr.test_detector import batch, build, losses_of, total
from tests.rtdetr.test_golden import CONFIG

NAN, INF = float('nan'), float('inf')
POSITIVE = 'a positive integer'
EACH = ', or 3 of them, one for each level'
SELF, CROSS, FFN = (f'decoder.layer_cfg.{name}_cfg' for name in ('self_attn', 'cross_attn', 'ffn'))
DECODER = 'RTDETRTransformerDecoder: layer_cfg.'

# Entry of the config, value, and the error up to the value.
REFUSED = [
    ('num_queries', 0, f'RTDETR: num_queries must be {POSITIVE}'),
    ('num_queries', True, f'RTDETR: num_queries must be {POSITIVE}'),
    ('num_queries', 30.0, f'RTDETR: num_queries must be {POSITIVE}'),
    ('num_levels', -1, f'RTDETR: num_levels must be {POSITIVE}'),
    ('in_channels', 0, f'RTDETR: in_channels must be {POSITIVE}'),
    ('deploy', 'False', 'RTDETR: deploy must be True or False'),
    ('test_cfg.max_per_img', -1, f'RTDETR: test_cfg.max_per_img must be {POSITIVE}'),
    ('test_cfg.max_per_img', 0, f'RTDETR: test_cfg.max_per_img must be {POSITIVE}'),
    ('test_cfg.max_per_img', None, f'RTDETR: test_cfg.max_per_img must be {POSITIVE}'),
    ('bbox_head.num_classes', 0, f'RTDETRHead: num_classes must be {POSITIVE}'),
    ('bbox_head.num_classes', '80', f'RTDETRHead: num_classes must be {POSITIVE}'),
    ('bbox_head.num_reg_fcs', 0, f'RTDETRHead: num_reg_fcs must be {POSITIVE}'),
    ('bbox_head.embed_dims', NAN, f'RTDETRHead: embed_dims must be {POSITIVE}'),
    ('bbox_head.loss_cls.alpha', -0.1, 'IoUVarifocalLoss: alpha must be in [0, 1]'),
    ('dn_cfg.num_denoising', -1, 'ContrastiveDenoising: num_denoising must be an integer of at least 0'),
    ('dn_cfg.num_denoising', False, 'ContrastiveDenoising: num_denoising must be an integer of at least 0'),
    ('dn_cfg.label_noise', 9, 'ContrastiveDenoising: label_noise must be in [0, 2]'),
    ('dn_cfg.label_noise', NAN, 'ContrastiveDenoising: label_noise must be in [0, 2]'),
    ('dn_cfg.box_noise', -5, 'ContrastiveDenoising: box_noise must be in [0, inf)'),
    ('dn_cfg.box_noise', INF, 'ContrastiveDenoising: box_noise must be in [0, inf)'),
    ('decoder.num_layers', 0, f'RTDETR: decoder.num_layers must be {POSITIVE}'),
    ('decoder.num_layers', True, f'RTDETR: decoder.num_layers must be {POSITIVE}'),
    ('decoder.num_layers', 2.5, f'RTDETR: decoder.num_layers must be {POSITIVE}'),
    (f'{SELF}.num_heads', 0, f'{DECODER}self_attn_cfg.num_heads must be {POSITIVE}'),
    (f'{SELF}.embed_dims', 60, f'{DECODER}self_attn_cfg.embed_dims must be a multiple of num_heads=8'),
    (f'{SELF}.dropout', 1.5, f'{DECODER}self_attn_cfg.dropout must be in [0, 1]'),
    (f'{CROSS}.num_points', 0, f'{DECODER}cross_attn_cfg.num_points must be {POSITIVE}'),
    (f'{CROSS}.num_points', [4, 4], f'{DECODER}cross_attn_cfg.num_points must be {POSITIVE}{EACH}'),
    (f'{CROSS}.num_points', [4, 0, 4], f'{DECODER}cross_attn_cfg.num_points must be {POSITIVE}{EACH}'),
    (f'{CROSS}.method', 'nearest', f"{DECODER}cross_attn_cfg.method must be one of ['default', 'discrete']"),
    (f'{CROSS}.num_heads', -8, f'{DECODER}cross_attn_cfg.num_heads must be {POSITIVE}'),
    (f'{CROSS}.embed_dims', 128, f'{DECODER}cross_attn_cfg.embed_dims must be 64, as in self_attn_cfg'),
    (f'{FFN}.embed_dims', 128, f'{DECODER}ffn_cfg.embed_dims must be 64, as in self_attn_cfg'),
    (f'{FFN}.feedforward_channels', 0, f'{DECODER}ffn_cfg.feedforward_channels must be {POSITIVE}'),
    (f'{FFN}.ffn_drop', NAN, f'{DECODER}ffn_cfg.ffn_drop must be in [0, 1]'),
    ('neck.in_channels', (24, 0, 48), 'HybridEncoder: in_channels must be a list of positive integers'),
    ('neck.in_channels', 24, 'HybridEncoder: in_channels must be a list of positive integers'),
    ('neck.hidden_channels', 66, 'HybridEncoder: hidden_channels must be a positive multiple of 4 and of num_heads=8'),
    ('neck.hidden_channels', 0, 'HybridEncoder: hidden_channels must be a positive multiple of 4 and of num_heads=8'),
    ('neck.num_heads', 0, f'HybridEncoder: num_heads must be {POSITIVE}'),
    ('neck.num_blocks', -1, f'HybridEncoder: num_blocks must be {POSITIVE}'),
    ('neck.feedforward_channels', 0, f'HybridEncoder: feedforward_channels must be {POSITIVE}'),
    ('neck.expansion', 0.01, 'HybridEncoder: expansion must be in [0.015625, inf)'),
    ('neck.expansion', NAN, 'HybridEncoder: expansion must be in [0.015625, inf)'),
    ('neck.temperature', 0, 'HybridEncoder: temperature must be in (0, inf)'),
    # what does not fit each other
    ('bbox_head.embed_dims', 128, 'RTDETR: bbox_head.embed_dims must be 64, as of the decoder'),
    ('neck.hidden_channels', 128, 'RTDETR: neck.hidden_channels must be 64, as embed_dims of the decoder'),
    ('neck.in_channels', (24, 32, 40), 'RTDETR: neck.in_channels must be (24, 32, 48), as the backbone returns'),
    ('neck.in_channels', (24, 32), 'RTDETR: neck.in_channels must be num_levels=3 numbers'),
    ('num_levels', 2, 'RTDETR: decoder.layer_cfg.cross_attn_cfg.num_levels must be 2, the num_levels of RTDETR'),
    (
        f'{CROSS}.num_levels',
        4,
        'RTDETR: decoder.layer_cfg.cross_attn_cfg.num_levels must be 3, the num_levels of RTDETR',
    ),
]


@pytest.mark.parametrize(('entry', 'value', 'message'), REFUSED)
def test_bad_argument_is_named_with_its_value_and_what_is_allowed(entry, value, message):
    cfg = copy.deepcopy(CONFIG)
    *path, key = entry.split('.')
    settings = cfg
    for name in path:
        settings = settings[name]
    settings[key] = value
    given = '3' if (entry, value) == ('num_levels', 2) else repr(value)  # there the other option is named
    with (
        DefaultScope.overwrite_default_scope('mmdet'),
        pytest.raises(ValueError, match='^' + re.escape(f'{message}, got {given}') + '$'),
    ):
        MODELS.build(cfg)


@pytest.mark.parametrize('dn_cfg', [None, dict(num_denoising=0), dict(num_denoising=0, label_noise=0.0)])
def test_denoising_is_switched_off(dn_cfg):
    model = build(dn_cfg=dn_cfg)
    assert model.denoising is None
    losses = losses_of(model, batch(3, 2))
    assert not any('dn_' in name for name in losses)
    total(losses).backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize('backbone', ['SpaRTAN', 'ResNetVD'])
def test_deployed_detector_is_not_trained_but_may_be_toggled(backbone):
    options = dict(deploy=True)
    if backbone == 'ResNetVD':
        options['backbone'] = dict(type='ResNetVD', depth=18, base_channels=64, out_indices=(1, 2, 3))
        options['neck'] = {**CONFIG['neck'], 'in_channels': (128, 256, 512)}
    model = build(**options)
    images = torch.rand(1, 3, 96, 96)
    expected = model(images)[0]
    for train in (lambda: losses_of(model, batch(2, 1)), lambda: model.train()(images)):
        with pytest.raises(ValueError, match=r'deploy must be False in training.*Build it with deploy=False.*eval'):
            train()
    torch.testing.assert_close(model.eval()(images)[0], expected)
