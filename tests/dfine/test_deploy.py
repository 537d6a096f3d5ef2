"""D-FINE and DEIMv2 are folded and captured as RT-DETR is."""

import pytest
import torch
from mmengine.config import Config

from mmspartan import config_path
from tests.conftest import build_model
from tests.rtdetr.test_detector import batch, build, losses_of, total
from tests.rtdetr.test_golden import CONFIG
from tests.rtdetr.test_version_2 import assert_everything_is_folded, assert_is_computed_on_the_device

NAMES = ['dfine_hgnetv2_n_coco', 'deimv2_hgnetv2_atto_coco', 'deimv2_hgnetv2_n_coco']


@pytest.fixture(params=NAMES)
def model(request):
    torch.manual_seed(0)
    cfg = Config.fromfile(config_path(request.param)).model
    cfg.update(num_queries=30)
    # constants are made once for each scale and size, and belong to the test that makes them
    cfg.bbox_head.setdefault('distribution', {}).update(scale=5 + NAMES.index(request.param))
    model = build_model(cfg)
    model.init_weights()
    return model


def test_everything_is_computed_on_the_device(model):
    assert_is_computed_on_the_device(model, 512 + 32 * int(model.bbox_head.distribution.scale))


def test_everything_is_folded(model):
    assert_everything_is_folded(model, 128, 160)


def test_frozen_parts_of_hgnet_stay_as_they_are():
    frozen = dict(type='HGNetV2', arch='b0', frozen_stem=True, frozen_norm=True)
    model = build(kind='DFINE', backbone=frozen, neck=dict(CONFIG['neck'], in_channels=[256, 512, 1024]))
    before = {name: value.clone() for name, value in model.backbone.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 1e-2)
    total(losses_of(model, batch(2, 1))).backward()
    optimizer.step()
    changed = {name for name, value in model.backbone.state_dict().items() if not torch.equal(value, before[name])}
    assert changed and not any('.stem.' in name or '.bn.' in name for name in changed)
