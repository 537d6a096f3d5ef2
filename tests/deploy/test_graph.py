import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from mmspartan.deploy.load import load_model
from mmspartan.deploy.tasks import build_graph
from tests.conftest import DATA


@pytest.mark.parametrize('place', ['in the model', 'beside it', 'nowhere'])
@torch.no_grad()
def test_normalization_is_that_of_the_runner(place, tmp_path):
    model = dict(
        type='ImageClassifier',
        backbone=dict(
            type='SpaRTAN', arch=dict(channels=(8, 8, 8, 8), depths=(1, 1, 1, 1), expand_ratios=(2, 2, 2, 2))
        ),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=3, in_channels=8),
    )
    preprocessor = dict(num_classes=3, mean=[10.0, 20.0, 30.0], std=[50.0, 60.0, 70.0], to_rgb=True)
    init_default_scope('mmpretrain')
    plain = MODELS.build(model | dict(data_preprocessor=dict(type='ClsDataPreprocessor', **preprocessor))).eval()
    torch.save(dict(state_dict=plain.state_dict()), tmp_path / 'x.pth')
    cfg = Config(dict(default_scope='mmpretrain', model=model))
    if place == 'in the model':
        cfg.model.data_preprocessor = preprocessor
    elif place == 'beside it':
        cfg.data_preprocessor = preprocessor
    images = torch.rand(2, 3, 32, 32) * 255
    found = build_graph(load_model(cfg, str(tmp_path / 'x.pth')))(images)
    inputs = images if place == 'nowhere' else plain.data_preprocessor(dict(inputs=images))['inputs']
    torch.testing.assert_close(found, plain(inputs, mode='tensor').softmax(1))


@pytest.mark.parametrize(('settings', 'count'), [(dict(max_per_img=300), 20), (dict(max_per_img=7), 7), ({}, 20)])
@torch.no_grad()
def test_detections_are_at_most_the_pairs_of_query_and_class(settings, count):
    cfg = Config.fromfile(DATA / 'rtdetr_quick.py')
    cfg.model.num_queries, cfg.model.test_cfg = 20, settings
    cfg.model.bbox_head.num_classes = 1
    init_default_scope(cfg.default_scope)
    boxes, scores, labels = build_graph(MODELS.build(cfg.model).eval())(torch.rand(2, 3, 64, 64), torch.ones(2, 2))
    assert boxes.shape == (2, count, 4) and scores.shape == labels.shape == (2, count) and not labels.any()
