"""An exported graph, its inputs and what is written of its outputs, against the detector's own predictions."""

import copy
import runpy

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import MODELS, init_default_scope

from mmspartan.commands.launch import size_of_test_images as size_of_input
from mmspartan.deploy.tasks import build_graph, task_of_model
from mmspartan.errors import InputError
from tests.conftest import DATA, ROOT


def config_with(transforms):
    return Config(dict(test_dataloader=dict(dataset=dict(pipeline=[dict(type='CheckPicture'), *transforms]))))


PIPELINES = {
    'stretched': [dict(type='Resize', scale=(96, 96), keep_ratio=False)],
    'padded': [
        dict(type='Resize', scale=(96, 96), keep_ratio=True),
        dict(type='Pad', size=(96, 96), pad_val=dict(img=(114, 114, 114))),
    ],
}


@pytest.fixture(scope='module')
def detector() -> torch.nn.Module:
    torch.manual_seed(0)
    init_default_scope('mmdet')
    model = MODELS.build(Config.fromfile(DATA / 'rtdetr_quick.py').model)
    model.init_weights()
    for parameter in model.bbox_head.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return model.eval()


@pytest.fixture(params=PIPELINES)
def samples(request) -> list[dict]:
    """Images wider and higher than their input, as the test pipeline prepares them."""
    init_default_scope('mmdet')
    keys = ('ori_shape', 'img_shape', 'scale_factor')
    pipeline = Compose([*PIPELINES[request.param], dict(type='PackDetInputs', meta_keys=keys)])
    images = [
        np.random.RandomState(i).randint(0, 255, (*shape, 3), np.uint8) for i, shape in enumerate([(40, 130), (90, 31)])
    ]
    return [pipeline(dict(img=image, img_shape=image.shape[:2], ori_shape=image.shape[:2])) for image in images]


def test_graph_predicts_as_the_detector_for_any_shape(detector, samples):
    check = runpy.run_path(str(ROOT / 'tools' / 'export_onnx.py'))['check_predictions']
    task, graph = task_of_model(detector), build_graph(detector)
    check(detector, graph, task, samples)
    for data in samples:
        sample = copy.deepcopy(data['data_samples'])
        outputs = graph(*map(torch.from_numpy, task.feed([data['inputs']], [sample]).values()))
        task.write(sample, {name: output[0].detach() for name, output in zip(task.outputs, outputs)})
        height, width = sample.ori_shape
        boxes = sample.pred_instances.bboxes
        assert boxes.min() >= 0 and boxes[:, 0::2].max() <= width and boxes[:, 1::2].max() <= height
    other = copy.deepcopy(detector)
    other.data_preprocessor.std *= 2
    with pytest.raises(InputError, match='--verify'):
        check(detector, build_graph(other), task, samples)


@pytest.mark.parametrize('name', PIPELINES)
def test_size_of_the_input_is_that_of_the_padded_image(name):
    assert size_of_input(config_with(PIPELINES[name]), '--size') == (96, 96)


@pytest.mark.parametrize(
    'transform, size',
    [
        (dict(type='mmpretrain.Resize', scale=64), (64, 64)),
        (dict(type='CenterCrop', crop_size=(96, 64)), (64, 96)),
        (dict(type='Pad', size=(96, 64)), (64, 96)),
    ],
)
def test_size_of_the_input_is_that_of_each_transform(transform, size):
    assert size_of_input(config_with([dict(type='Resize', scale=(32, 32)), transform]), '--size') == size


@pytest.mark.parametrize('scale', [dict(width=64), (64, 64, 3), (64.0, 64), 64.5], ids=str)
def test_what_is_no_size_of_the_input_is_named(scale):
    cfg = config_with([dict(type='Resize', scale=scale)])
    with pytest.raises(InputError, match=r'scale of its test pipeline is .*, not a width and a height'):
        size_of_input(cfg, '--size')
