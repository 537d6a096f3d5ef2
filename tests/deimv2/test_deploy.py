"""DEIMv2 is folded and captured as D-FINE is, with both of its encoders."""

import pytest
import torch
from mmengine.config import Config

from mmspartan import config_path
from tests.conftest import build_model
from tests.rtdetr.test_version_2 import assert_everything_is_folded, assert_is_computed_on_the_device


@pytest.fixture(params=['atto', 'n'])
def model(request):
    torch.manual_seed(0)
    cfg = Config.fromfile(config_path(f'deimv2_hgnetv2_{request.param}_coco')).model
    cfg.update(num_queries=30)
    # constants are made once for each scale and size, and belong to the test that makes them
    cfg.bbox_head.distribution.scale = dict(atto=5, n=6)[request.param]
    model = build_model(cfg)
    model.init_weights()
    return model


def test_everything_is_computed_on_the_device(model):
    assert_is_computed_on_the_device(model, 576 + 32 * (model.embed_dims == 128))


def test_everything_is_folded(model):
    assert_everything_is_folded(model, 128, 160)
