"""Models by name, in mmpretrain and through the model index that mim reads."""

import mmpretrain
import numpy as np
import pytest
import torch
from mmdet.apis import DetInferencer
from mmengine.config import Config
from modelindex.load_model_index import load

from mmspartan import config_path
from tests.conftest import DATA, ROOT

NAMES = [f'spartan_{size}_in1k' for size in ('t', 't_256', 'xt', 'xt_256')]


def test_mmpretrain_lists_and_builds_them():
    assert sorted(mmpretrain.list_models('spartan', task='Image Classification')) == sorted(NAMES)
    model = mmpretrain.get_model('spartan_xt_in1k', head=dict(num_classes=7), backbone=dict(drop_path_rate=0.3))
    assert model.head.fc.weight.shape == (7, 192)
    with pytest.warns(UserWarning, match='pre-defined checkpoint'):
        mmpretrain.get_model('spartan_xt_in1k', pretrained=True)


def test_inferencer_takes_name_and_weights(tmp_path):
    model = mmpretrain.get_model('spartan_xt_in1k')
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'weights.pth')
    inferencer = mmpretrain.ImageClassificationInferencer('spartan_xt_in1k', str(tmp_path / 'weights.pth'))
    result = inferencer(np.zeros((64, 48, 3), np.uint8))[0]
    assert result['pred_scores'].shape == (1000,) and abs(result['pred_scores'].sum() - 1) < 1e-4


def test_detection_inferencer_takes_the_path_of_a_config(tmp_path):
    cfg = Config.fromfile(DATA / 'rtdetr_quick.py')
    assert Config.fromfile(config_path('rtdetr_spartan_t_coco')).model.type == cfg.model.type
    inferencer = DetInferencer(config_path('rtdetr_spartan_xt_coco'), device='cpu')
    result = inferencer(np.zeros((64, 48, 3), np.uint8))['predictions'][0]
    assert len(result['bboxes']) == 300


def test_index_names_a_config_for_each_model_and_no_weights():
    index = load(str(ROOT / 'model-index.yml'))
    index.build_models_with_collections()
    models = {model.name: model for model in index.models}
    assert len(models) == len(index.models) and set(NAMES) < set(models)
    assert all((ROOT / model.config).is_file() and model.weights is None for model in models.values())
    folders = [ROOT / 'configs', ROOT / 'configs' / 'peers', ROOT / 'configs' / 'ablations']
    leaves = {path.stem for folder in folders for path in folder.glob('*.py') if 'digits' not in path.stem}
    assert set(models) == leaves
    for model in models.values():
        assert model.in_collection in ('SpaRTAN', 'RT-DETR', 'SpaRTAN-peers') and model.results[0].metrics


def test_inferencers_are_built_in_any_order_and_take_gray_pictures():
    for _ in range(2):
        detector = DetInferencer(config_path('rtdetr_spartan_xt_digits'), device='cpu', show_progress=False)
        for name in ('spartan_xt_digits', 'spartan_xt_256_in1k'):
            classifier = mmpretrain.ImageClassificationInferencer(config_path(name), pretrained=False)
            assert 'pred_score' in classifier(np.zeros((64, 48), np.uint8))[0]
        assert len(detector(np.zeros((64, 48), np.uint8))['predictions'][0]['scores']) == 40
