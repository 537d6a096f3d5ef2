"""Models by name, in mmpretrain and through the model index that mim reads."""

from pathlib import Path

import cv2
import mmpretrain
import numpy as np
import pytest
import torch
from mmdet.apis import DetInferencer
from mmengine.config import Config
from mmengine.registry import MODELS
from mmengine.runner import load_checkpoint
from mmpretrain.datasets import CIFAR10
from modelindex.load_model_index import load

from mmspartan import Detector, config_path, get_model, list_configs, weights
from mmspartan.checkpoints.checkpoint import read_checkpoint
from mmspartan.errors import InputError
from mmspartan.model_hub import WEIGHTS
from tests.conftest import ROOT

NAMES = [f'spartan_{size}_in1k' for size in ('t', 't_256', 'xt', 'xt_256')]


def test_mmpretrain_lists_and_builds_them():
    assert sorted(mmpretrain.list_models('spartan', task='Image Classification')) == sorted(NAMES)
    model = mmpretrain.get_model('spartan_xt_in1k', head=dict(num_classes=7), backbone=dict(drop_path_rate=0.3))
    assert model.head.fc.weight.shape == (7, 192)
    with pytest.warns(UserWarning, match='pre-defined checkpoint'):
        mmpretrain.get_model('spartan_xt_in1k', pretrained=True)


def test_our_get_model_returns_random_weights_only_if_none_were_asked_for(tmp_path):
    known = 'rtdetr_spartan_xt_cifar10, spartan_t_cifar10, spartan_xt_cifar10'
    with pytest.raises(InputError, match=f'^mmspartan has no weights of spartan_xt_in1k, but of {known};'):
        get_model('spartan_xt_in1k', pretrained=True)
    (tmp_path / 'spartan_xt_cifar10.py').write_text(Path(config_path('spartan_xt_digits')).read_text())
    with pytest.raises(InputError, match='mmspartan has no weights of /'):  # which has the name by chance
        get_model(str(tmp_path / 'spartan_xt_cifar10.py'), pretrained=True)
    for nothing in ('', None):
        with pytest.raises(InputError, match='pretrained='):
            get_model('spartan_xt_in1k', pretrained=nothing)
    with pytest.raises(InputError, match=r'missing\.pth'):
        get_model('spartan_xt_in1k', pretrained=tmp_path / 'missing.pth')
    with pytest.raises(FileNotFoundError, match='spartan_xt_in1k'):  # one of those that exist
        get_model('spartan_xs_in1k')
    model = get_model('spartan_xt_digits', head=dict(num_classes=7))
    assert model.head.fc.weight.shape == (7, 192) and not model.training
    path = tmp_path / 'weights.pth'
    torch.save(dict(state_dict=model.state_dict(), meta=dict(dataset_meta=dict(classes=tuple('abcdefg')))), path)
    loaded = get_model('spartan_xt_digits', pretrained=path, head=dict(num_classes=7))
    assert torch.equal(loaded.head.fc.weight, model.head.fc.weight) and loaded.dataset_meta['classes'] == tuple(
        'abcdefg'
    )
    with pytest.raises(InputError, match=r'weights\.pth does not fit'):
        get_model('spartan_xt_digits', pretrained=path)


def test_weights_of_the_package_are_those_of_the_configs_and_small():
    found = {path.name for path in WEIGHTS.iterdir()}
    assert found == {f'{name}_cifar10.safetensors' for name in ('spartan_xt', 'spartan_t', 'rtdetr_spartan_xt')}
    assert all(path.stem in list_configs() and path.stat().st_size < 10e6 for path in WEIGHTS.iterdir())


@pytest.mark.parametrize('name', ['spartan_xt_cifar10', 'spartan_t_cifar10'])
def test_weights_of_the_package_are_loaded_without_a_path(name):
    model = get_model(f'{name}.py', pretrained=True)
    assert len(model.dataset_meta['classes']) == model.head.num_classes == 10
    backbone = MODELS.build(Config.fromfile(config_path(name)).model.backbone)
    load_checkpoint(backbone, weights(name), revise_keys=[(r'^backbone\.', '')])  # by mmengine, outside of our Runner
    for key, value in model.backbone.state_dict().items():
        torch.testing.assert_close(backbone.state_dict()[key], value)
    assert all(
        tensor.dtype in (torch.float16, torch.int64) for tensor in read_checkpoint(weights(name))['state_dict'].values()
    )


def test_the_detector_of_the_package_finds_what_lies_on_a_plain_background():
    detector = Detector('rtdetr_spartan_xt_cifar10', weights('rtdetr_spartan_xt_cifar10'))
    image, ellipse = np.full((128, 128, 3), 90, np.uint8), np.zeros((50, 60, 1), np.uint8)
    colors = np.random.default_rng(0).integers(0, 255, (4, 4, 3), dtype=np.uint8)
    cv2.ellipse(ellipse, (30, 25), (30, 25), 0, 0, 360, 1, -1)
    np.copyto(image[40:90, 20:80], cv2.resize(colors, (60, 50), interpolation=cv2.INTER_CUBIC), where=ellipse > 0)
    found = detector(image)
    assert found.scores[0] > 0.3 and found.names[0] in CIFAR10.METAINFO['classes']
    assert np.abs(np.asarray(found.boxes[0]) - [20, 40, 80, 90]).max() < 6


def test_configs_are_listed():
    assert {'spartan_t_in1k', 'rtdetr_spartan_xt_digits'} < set(list_configs())
    assert not any('_base_' in name for name in list_configs())
    for name in list_configs('rtdetr_spartan'):
        assert Config.fromfile(config_path(name)).model.backbone.type == 'SpaRTAN'


def test_inferencer_takes_name_and_weights(tmp_path):
    model = mmpretrain.get_model('spartan_xt_in1k')
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'weights.pth')
    inferencer = mmpretrain.ImageClassificationInferencer('spartan_xt_in1k', str(tmp_path / 'weights.pth'))
    result = inferencer(np.zeros((64, 48, 3), np.uint8))[0]
    assert result['pred_scores'].shape == (1000,) and abs(result['pred_scores'].sum() - 1) < 1e-4
    ours = mmpretrain.ImageClassificationInferencer(get_model('spartan_xt_cifar10', pretrained=True))
    assert ours(np.zeros((64, 48, 3), np.uint8))[0]['pred_class'] in ours.classes


@pytest.mark.parametrize(
    ('path', 'folders'),
    [
        ('model-index.yml', ['configs']),
        (
            'projects/paper/model-index.yml',
            ['configs', *(f'projects/paper/configs/{n}' for n in ('peers', 'ablations'))],
        ),
    ],
)
def test_index_names_a_config_for_each_model_and_no_weights(path, folders):
    index = load(str(ROOT / path))
    index.build_models_with_collections()
    models = {model.name: model for model in index.models}
    assert len(models) == len(index.models) and set(NAMES) < set(models)
    assert all((ROOT / model.config).is_file() and model.weights is None for model in models.values())
    leaves = {config.stem for folder in folders for config in (ROOT / folder).glob('*.py')}
    assert set(models) == {name for name in leaves if not name.endswith(('_digits', '_cifar10'))}
    for name, model in models.items():
        assert model.in_collection in ('SpaRTAN', 'RT-DETR', 'RT-DETRv2', 'D-FINE', 'DEIM', 'DEIMv2', 'SpaRTAN-peers')
        is_published = not name.startswith(('dfine_spartan', 'deim_spartan'))
        assert bool(model.results and model.results[0].metrics) == is_published


def test_inferencers_are_built_in_any_order_and_take_gray_images():
    for _ in range(2):
        detector = DetInferencer(config_path('rtdetr_spartan_xt_digits'), device='cpu', show_progress=False)
        for name in ('spartan_xt_digits', 'spartan_xt_256_in1k'):
            classifier = mmpretrain.ImageClassificationInferencer(config_path(name), pretrained=False)
            assert 'pred_score' in classifier(np.zeros((64, 48), np.uint8))[0]
        assert len(detector(np.zeros((64, 48), np.uint8))['predictions'][0]['scores']) == 40
