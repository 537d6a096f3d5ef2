"""What makes no sense in a detector's config is refused when it is built."""

import copy

import pytest
import torch
from mmengine.registry import MODELS

from tests.conftest import build_model, refuses
from tests.rtdetr.test_detector import batch, build, losses_of, total
from tests.rtdetr.test_golden import CONFIG

NAN, INF = float('nan'), float('inf')
# Where the config has the options of a class.
BELOW = dict(
    RTDETR='',
    RTDETRHead='bbox_head.',
    IoUVarifocalLoss='bbox_head.loss_cls.',
    ContrastiveDenoising='dn_cfg.',
    RTDETRTransformerDecoder='decoder.',
    HybridEncoder='neck.',
)
# Values that each of them refuses.
REFUSED = dict(
    RTDETR={
        'num_queries': (0, True, 30.0),
        'num_levels': (-1,),
        'in_channels': (0,),
        'xavier_init': (1,),
        'deploy': ('False',),
        'test_cfg.max_per_img': (-1, 0, None),
        'test_cfg.num_decoder_layers': (3,),
        'decoder.num_layers': (0, True, 2.5),
        # what does not fit each other
        'bbox_head.embed_dims': (128,),
        'neck.hidden_channels': (128,),
        'neck.in_channels': ((24, 32, 40), (24, 32)),
        'decoder.layer_cfg.cross_attn_cfg.num_levels': (4,),
    },
    RTDETRHead={
        'num_classes': (0, '80'),
        'num_reg_fcs': (0,),
        'embed_dims': (NAN,),
        'loss_iou.loss_weight': (-2.0, dict(a=1)),
    },
    IoUVarifocalLoss={'alpha': (-0.1,)},
    ContrastiveDenoising={'num_denoising': (-1, False), 'label_noise': (9, NAN), 'box_noise': (-5, INF)},
    RTDETRTransformerDecoder={
        'layer_cfg.self_attn_cfg.num_heads': (0,),
        'layer_cfg.self_attn_cfg.embed_dims': (60,),
        'layer_cfg.self_attn_cfg.dropout': (1.5,),
        'layer_cfg.cross_attn_cfg.num_points': (0, [4, 4], [4, 0, 4]),
        'layer_cfg.cross_attn_cfg.method': ('nearest',),
        'layer_cfg.cross_attn_cfg.num_heads': (-8,),
        'layer_cfg.cross_attn_cfg.embed_dims': (128,),
        'layer_cfg.ffn_cfg.embed_dims': (128,),
        'layer_cfg.ffn_cfg.feedforward_channels': (0,),
        'layer_cfg.ffn_cfg.ffn_drop': (NAN,),
    },
    HybridEncoder={
        'in_channels': ((24, 0, 48), 24),
        'hidden_channels': (66, 0),
        'num_heads': (0,),
        'num_blocks': (-1,),
        'feedforward_channels': (0,),
        'expansion': (0.01, NAN),
        'temperature': (0,),
    },
)


def build_with(entry: str, value: object) -> None:
    cfg = copy.deepcopy(CONFIG)
    *path, key = entry.split('.')
    settings = cfg
    for name in path:
        settings = settings[name]
    settings[key] = value
    build_model(cfg)


@pytest.mark.parametrize(
    ('owner', 'option', 'value'),
    [(owner, option, value) for owner, options in REFUSED.items() for option in options for value in options[option]],
)
def test_bad_argument_is_refused(owner, option, value):
    with refuses(owner, option, value):
        build_with(BELOW[owner] + option, value)


SIZES = ([], [0], [-32], [640, 650], [640.0], [True], 640, '640', [None], [NAN])
# Classes that are built alone: the first of their options is refused, or an entry of it.
ALONE = [
    ('ResNetVD', dict(depth=19)),
    ('ResNetVD', dict(depth=True)),
    ('ResNetVD', dict(frozen_stages=5, depth=18)),
    ('ResNetVD', dict(out_indices=(1, 4), depth=18)),
    ('ResNetVD', dict(out_indices=(), depth=18)),
    ('ResNetVD', dict(out_indices=(0, 2), num_stages=2, depth=18)),
    *(('IoUVarifocalLoss', dict(alpha=value)) for value in (1.5, True)),
    *(('IoUVarifocalLoss', dict(gamma=value)) for value in (-1, INF)),
    *(('IoUVarifocalLoss', dict(loss_weight=value)) for value in (NAN, '1')),
    *(('MatchabilityAwareLoss', dict(alpha=value)) for value in (1.5, None)),
    *(('MatchabilityAwareLoss', option) for option in (dict(gamma=-0.5), dict(loss_weight=True))),
    *(('BatchRandomChoiceResize', dict(sizes=sizes)) for sizes in SIZES),
    ('BatchRandomChoiceResize', dict(interpolation='area', sizes=[128])),
    *(('BatchMixUp', dict(prob=value)) for value in (1.5, True)),
    *(('BatchMixUp', dict(ratio=value)) for value in (0.5, [0.5])),
    *(('BatchMixUp', {'ratio': value, 'entry': i}) for i, value in enumerate([[NAN, 1], (0.5, 1.1)])),
    *(('BatchCopyBlend', option) for option in (dict(prob=-0.1), dict(num_objects=0), dict(min_area=0))),
    *(('BatchCopyBlend', option) for option in (dict(margin=0.1), dict(ratio=(1, 0)))),
    ('BatchCopyBlend', dict(margin=(-1, 0), entry=0)),
    ('BatchCopyBlend', dict(ratio=[0, 2], entry=1)),
]


@pytest.mark.parametrize(('owner', 'options'), ALONE)
def test_bad_argument_of_a_class_is_refused(owner, options):
    (option, value), *others = options.items()
    entry = options.get('entry')
    named = (option, value) if entry is None else (f'{option}[{entry}]', value[entry])
    with refuses(owner, *named):
        MODELS.build({'type': owner, option: value, **{name: other for name, other in others if name != 'entry'}})


def test_number_of_levels_that_the_decoder_does_not_have_is_refused():
    with refuses('RTDETR', 'decoder.layer_cfg.cross_attn_cfg.num_levels', 3):
        build_with('num_levels', 2)


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
