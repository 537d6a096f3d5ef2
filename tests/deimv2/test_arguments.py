"""What makes no sense in a config of DEIMv2 is refused when it is built; its smallest sizes learn from any batch."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import TASK_UTILS

from mmspartan import config_path
from tests.conftest import build_model, refuses
from tests.rtdetr.test_detector import batch, losses_of, total


def build(**options):
    torch.manual_seed(0)
    cfg = Config.fromfile(config_path('deimv2_hgnetv2_atto_coco'))
    cfg.merge_from_dict({f'model.{name}': value for name, value in {'num_queries': 30, **options}.items()})
    model = build_model(cfg.model)
    model.init_weights()
    return model


@pytest.mark.parametrize(
    ('owner', 'option', 'entry', 'value'),
    [
        ('DEIMv2', 'num_levels', 'num_levels', 3),
        ('RTDETR', 'neck.hidden_channels', 'neck.hidden_channels', 96),
        ('RTDETR', 'neck.in_channels', 'neck.in_channels', [512]),
        ('LiteEncoder', 'in_channels', 'neck.in_channels', [256, 512]),
        ('LiteEncoder', 'hidden_channels', 'neck.hidden_channels', 0),
        ('LiteEncoder', 'num_blocks', 'neck.num_blocks', -1),
        ('LiteEncoder', 'expansion', 'neck.expansion', 0.01),
        ('RTDETRTransformerDecoder', 'layer_cfg.gated', 'decoder.layer_cfg.gated', 'no'),
        ('SwiGLU', 'feedforward_channels', 'decoder.layer_cfg.ffn_cfg.feedforward_channels', 161),
        ('DFINEHead', 'share_reg_branches', 'bbox_head.share_reg_branches', 1),
        ('HGNetV2', 'out_indices', 'backbone.out_indices', (3,)),
    ],
)
def test_refused(owner, option, entry, value):
    levels = {'decoder.layer_cfg.cross_attn_cfg.num_levels': 3} if entry == 'num_levels' else {}
    points = {'decoder.layer_cfg.cross_attn_cfg.num_points': 4} if levels else {}
    with refuses(owner, option):
        build(**{entry: value, **levels, **points})


def test_power_of_the_matching_cost():
    with refuses('ScoreIoUCost', 'power', -1):
        TASK_UTILS.build(dict(type='ScoreIoUCost', power=-1))


@pytest.mark.parametrize('counts', [(3, 2), (3, 0), (0, 0)])
def test_every_parameter_learns_without_losses_of_distributions(counts):
    model = build()
    losses = losses_of(model, batch(*counts, shapes=[(128, 160)] * 2, num_classes=80))
    assert not any('fgl' in name or 'ddf' in name for name in losses)
    total(losses).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []


def test_decoder_layers_share_one_branch():
    branches = build().bbox_head.reg_branches
    assert branches[0] is branches[1] is branches[2] and branches[3][-1].out_features == 4
    own = build(**{'bbox_head.share_reg_branches': False}).bbox_head.reg_branches
    assert not torch.equal(own[0][0].weight, own[1][0].weight)
