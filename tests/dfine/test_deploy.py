"""D-FINE is folded and captured as RT-DETR is, with SpaRTAN and with its own backbone."""

import pytest
import torch

from tests.conftest import TINY
from tests.rtdetr.test_detector import batch, build, losses_of, total
from tests.rtdetr.test_golden import CONFIG
from tests.rtdetr.test_version_2 import assert_everything_is_folded, assert_is_computed_on_the_device

BACKBONES = [dict(type='SpaRTAN', arch=TINY, out_indices=(1, 2, 3)), dict(type='HGNetV2', arch='b0')]


@pytest.fixture(params=BACKBONES, ids=lambda backbone: backbone['type'])
def model(request):
    if request.param['type'] == 'SpaRTAN':
        return build(kind='DFINE', backbone=request.param)
    head = dict(CONFIG['bbox_head'], distribution=dict(scale=8))
    neck = dict(CONFIG['neck'], in_channels=[256, 512, 1024])
    return build(kind='DFINE', backbone=request.param, neck=neck, bbox_head=head)


def test_everything_is_computed_on_the_device(model):
    assert_is_computed_on_the_device(model, 512 + 32 * (type(model.backbone).__name__ == 'HGNetV2'))


def test_backbone_is_folded(model):
    assert_everything_is_folded(model, 96, 128)


def test_frozen_parts_of_hgnet_stay_as_they_are():
    frozen = dict(type='HGNetV2', arch='b0', frozen_stem=True, frozen_norm=True)
    model = build(kind='DFINE', backbone=frozen, neck=dict(CONFIG['neck'], in_channels=[256, 512, 1024]))
    before = {name: value.clone() for name, value in model.backbone.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 1e-2)
    total(losses_of(model, batch(2, 1))).backward()
    optimizer.step()
    changed = {name for name, value in model.backbone.state_dict().items() if not torch.equal(value, before[name])}
    assert changed and not any('.stem.' in name or '.bn.' in name for name in changed)
