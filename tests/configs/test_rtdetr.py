"""The detector configs build and train by the recipe of RT-DETR."""

import argparse
import copy
import math
import random
import shlex
from collections import Counter

import numpy as np
import pytest
import torch
from mmcv.transforms import Compose
from mmengine.config import Config, DictAction
from mmengine.logging import MessageHub
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from PIL import Image
from torch import Tensor

from mmspartan import config_path
from tests.configs.rates import assert_rates, rates_of_iterations
from tests.configs.smallest import DETECTORS, smallest
from tests.conftest import ROOT
from tests.rtdetr.test_detector import batch

SMALL = ['rtdetr_spartan_xt_coco', 'rtdetr_spartan_t_coco', 'rtdetr_r18vd_coco', 'rtdetr_r34vd_coco']
COCO = [*SMALL, 'rtdetr_r50vd_coco', 'rtdetr_r50vd_m_coco', 'rtdetr_r101vd_coco']


def load(name: str) -> Config:
    cfg = Config.fromfile(config_path(name))
    init_default_scope(cfg.default_scope)
    return cfg


@pytest.mark.parametrize('name', DETECTORS)
def test_two_steps_and_a_prediction(name):
    cfg = smallest(name)
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    optim_wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    data = batch(3, 1, shapes=[(96, 128)] * 2, num_classes=model.bbox_head.num_classes)
    before = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}
    for _ in range(2):
        losses = model.train().train_step(copy.deepcopy(data), optim_wrapper)
        assert losses['loss'].isfinite()
    moved = {name for name, p in model.named_parameters() if name in before and not torch.equal(p, before[name])}
    # not each: what is behind a LayerScale of 1e-5, or before a layer that starts at zero, hardly gets a gradient yet
    assert {name.split('.')[0] for name in moved} == {name.split('.')[0] for name in before}
    assert len(moved) > len(before) / 3
    predictions = model.eval().test_step(data)
    assert all(len(p.pred_instances) == cfg.model.test_cfg.max_per_img for p in predictions)
    assert all(p.pred_instances.bboxes.isfinite().all() for p in predictions)
    assert cfg.visualizer.type == 'LegibleDetLocalVisualizer'  # in training, tests and mmdet's inferencer


@pytest.mark.parametrize('name', COCO)
def test_learning_rate_and_decay_of_each_kind_of_parameter(name):
    backbone = {'rtdetr_r101vd_coco': 1e-6}.get(name, 1e-5)
    frozen = assert_rates(load(name), 1e-4, backbone, norms='without decay')
    assert bool(frozen) == (name not in SMALL)


@pytest.mark.parametrize('name', COCO)
def test_the_rest_of_the_recipe(name):
    cfg = load(name)
    assert cfg.train_cfg.max_epochs == (70 if 'spartan' in name else 72)
    assert cfg.train_dataloader.batch_size * 8 == cfg.auto_scale_lr.base_batch_size == 16
    assert cfg.optim_wrapper.clip_grad.max_norm == 0.1 and cfg.optim_wrapper.type == 'OptimWrapper'
    assert cfg.sync_bn == 'torch'
    rates = [rate for (rate,) in rates_of_iterations(cfg, 3000, 1, 1e-4)]
    assert rates[0] == pytest.approx(1e-7) and rates[2000:] == pytest.approx([1e-4] * 1000)


def test_ema_decay_grows_to_09999_and_covers_buffers():
    hook = next(hook for hook in load('rtdetr_spartan_t_coco').custom_hooks if hook.type == 'EMAHook')
    network = torch.nn.Sequential(torch.nn.Linear(1, 1), torch.nn.BatchNorm1d(1))
    options = {key: hook[key] for key in ('momentum', 'gamma', 'update_buffers')}
    ema = MODELS.build(dict(type=hook.ema_type, model=network, **options))
    for step in (0, 2000, 100000):
        averaged = torch.zeros(1, dtype=torch.float64)
        ema.avg_func(averaged, torch.ones(1, dtype=torch.float64), step)
        decay = 0.9999 * (1 - math.exp(-(step + 1) / 2000))
        assert averaged.item() == pytest.approx(1 - decay, rel=1e-9)
    assert any('running_mean' in name for name in ema.avg_parameters)


def test_sizes_of_batches_and_their_boxes():
    cfg = load('rtdetr_spartan_t_coco')
    (resize,) = [MODELS.build(augment) for augment in cfg.model.data_preprocessor.batch_augments]
    hub, drawn = MessageHub.get_current_instance(), Counter()
    for iteration in range(2600):
        hub.update_info('iter', iteration)
        drawn[resize.choose(640, 640)] += 1
    assert sorted(drawn) == [(size, size) for size in range(480, 801, 32)]
    assert resize.interpolation == 'nearest'  # the default of the function that the authors call
    assert drawn[640, 640] / 2600 == pytest.approx(3 / 13, abs=0.03)
    assert all(n / 2600 == pytest.approx(1 / 13, abs=0.03) for size, n in drawn.items() if size != (640, 640))

    data = batch(2, shapes=[(640, 640)])
    sample, boxes = data['data_samples'][0], data['data_samples'][0].gt_instances.bboxes.clone()
    sample.set_metainfo(dict(pad_shape=(640, 640), batch_input_shape=(640, 640)))
    inputs = data['inputs'][0][None].float()
    hub.update_info('iter', next(i for i in range(2600) if random.Random(i).choice(resize.sizes) != 640))
    scaled, _ = resize(inputs, [sample])
    size = scaled.shape[-1]
    assert size != 640 and sample.batch_input_shape == (size, size)
    torch.testing.assert_close(sample.gt_instances.bboxes, boxes * size / 640)


def test_augmentation_is_mmdets_in_the_order_of_rt_detr(tmp_path):
    cfg = load('rtdetr_spartan_t_coco')
    steps = [dict(step) for step in cfg.train_pipeline]
    index = [step['type'] for step in steps].index('CropFirst')
    plain = [*steps[:index], *steps[index]['transforms'], *steps[index + 1 :]]
    drawn = [step for step in plain if 'prob' in step]
    augment = [(step.get('transforms', [step])[0]['type'], step['prob']) for step in drawn]
    assert augment == [('PhotoMetricDistortion', 0.5), ('Expand', 0.5), ('MinIoURandomCrop', 0.8), ('RandomFlip', 0.5)]
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / 'a.png')
    instances = [dict(bbox=[20, 15, 70, 50], bbox_label=3, ignore_flag=0)]
    info = dict(img_path=str(tmp_path / 'a.png'), img_id=0, width=80, height=60, instances=instances)
    for seed in range(10):
        packed = []
        for pipeline in (plain, steps):
            np.random.seed(seed)
            packed.append(Compose(pipeline)(copy.deepcopy(info)))
        (expected, expected_sample), (found, found_sample) = [(one['inputs'], one['data_samples']) for one in packed]
        assert torch.equal(found, expected) and found.dtype == expected.dtype
        assert torch.equal(found_sample.gt_instances.bboxes.tensor, expected_sample.gt_instances.bboxes.tensor)
        assert found_sample.metainfo == expected_sample.metainfo


def test_batch_is_copied_to_the_gpu_without_a_wait(monkeypatch):
    preprocessor = MODELS.build(load('rtdetr_spartan_t_coco').model.data_preprocessor)
    copies, to = [], Tensor.to
    monkeypatch.setattr(Tensor, 'to', lambda *args, **options: copies.append(options) or to(*args, **options))
    preprocessor.cast_data(batch(3, 2))
    assert len(copies) >= 6 and all(options == dict(non_blocking=True) for options in copies)  # images, boxes, labels


def test_a_rule_that_matches_nothing_is_an_error():
    cfg = load('rtdetr_spartan_xt_digits')
    cfg.optim_wrapper.paramwise_cfg.rules = [dict(pattern='backbne', lr_mult=0.1)]
    with pytest.raises(ValueError, match=r"no parameter matches \['backbne'\]"):
        build_optim_wrapper(MODELS.build(cfg.model), cfg.optim_wrapper)


def test_weights_of_the_backbone_as_the_readme_gives_them():
    command = (ROOT / 'README.md').read_text().split('tools/dist_train.sh configs/rtdetr_spartan_t_coco.py 8 ')[1]
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=DictAction)
    options = parser.parse_args(shlex.split(command.split('\ntools/')[0].replace('\\\n', ''))).cfg_options
    cfg = load('rtdetr_spartan_t_coco')
    cfg.merge_from_dict(options)
    assert cfg.model.backbone.init_cfg == dict(type='Pretrained', checkpoint='IMAGENET_CKPT', prefix='backbone.')
