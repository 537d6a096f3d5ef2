import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from mmspartan.deployment.graph import build_graph, load_model


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
