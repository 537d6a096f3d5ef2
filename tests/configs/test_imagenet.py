"""The ImageNet configs train by the published recipe."""

import json
import math
import re

import mmcv
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, default_collate
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, PARAM_SCHEDULERS, init_default_scope
from mmpretrain.registry import TRANSFORMS

from mmspartan import config_path


@pytest.fixture(params=['spartan_xt_in1k', 'spartan_t_in1k'])
def cfg(request):
    cfg = Config.fromfile(config_path(request.param))
    cfg.optim_wrapper.type = 'OptimWrapper'  # AMP needs a GPU
    cfg.optim_wrapper.pop('loss_scale')
    init_default_scope(cfg.default_scope)
    return cfg


@pytest.fixture
def model(cfg):
    torch.manual_seed(0)
    return MODELS.build(cfg.model)


@pytest.mark.parametrize('size', ['xt', 't'])
def test_recipe_at_256_differs_in_sizes_alone(size):
    configs = [Config.fromfile(config_path(f'spartan_{size}{kind}_in1k')).to_dict() for kind in ('', '_256')]
    expected, found = (json.dumps(cfg, sort_keys=True) for cfg in configs)
    sizes = r'"(?:scale|crop_size)": (\d+)'
    assert {*re.findall(sizes, expected)} == {'224'} and {*re.findall(sizes, found)} == {'256'}
    assert re.sub(sizes, '', found) == re.sub(sizes, '', expected)


def test_amp_batch_and_epochs(cfg):
    assert Config.fromfile(cfg.filename).optim_wrapper.type == 'AmpOptimWrapper'
    assert cfg.train_dataloader.batch_size * 8 == cfg.auto_scale_lr.base_batch_size == 2048
    assert cfg.train_cfg.max_epochs == 300
    assert 'clip_grad' not in cfg.optim_wrapper


def test_weight_decay_spares_vectors_norms_biases_and_gamma_only(cfg, model):
    groups = build_optim_wrapper(model, cfg.optim_wrapper).optimizer.param_groups
    decay = {id(p): group['weight_decay'] for group in groups for p in group['params']}
    decayed, spared = set(), set()
    for name, parameter in model.named_parameters():
        (decayed if decay[id(parameter)] else spared).add(name)
        assert decay[id(parameter)] in (0, 0.03)
    for name in spared:
        assert name.endswith(('.bias', '.gamma')) or '.norm' in name, name
    for name in decayed:
        assert name.endswith(('.weight', '.scale1', '.scale2', '.complex_weight')) and '.norm' not in name, name
    kinds = {name.rsplit('.', 1)[-1] for name in decayed}
    assert {'scale1', 'scale2', 'complex_weight'} <= kinds
    assert 'backbone.stages.0.0.smixer.gamma' in spared


def test_learning_rate_of_each_epoch(cfg, model):
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper).optimizer
    schedulers = [PARAM_SCHEDULERS.build(dict(optimizer=optimizer, **s)) for s in cfg.param_scheduler]
    rates = []
    for _ in range(300):
        rates.append(optimizer.param_groups[0]['lr'])
        assert len({group['lr'] for group in optimizer.param_groups}) == 1
        for scheduler in schedulers:
            scheduler.step()

    def cosine(epoch):
        return 1e-6 + (2.5e-3 - 1e-6) * (1 + math.cos(math.pi * epoch / 300)) / 2

    assert rates[0] == pytest.approx(1e-4)
    assert rates[10] == pytest.approx(1e-4 + (2.5e-3 - 1e-4) / 2)
    assert rates[19] == pytest.approx(1e-4 + (2.5e-3 - 1e-4) * 19 / 20)
    for epoch in (20, 150, 299):
        assert rates[epoch] == pytest.approx(cosine(epoch), rel=1e-6)
    assert rates[299] == pytest.approx(1.0685e-6, rel=1e-3)


def test_randaugment_is_torchvisions_with_31_bins(cfg):
    (step,) = [step for step in cfg.train_pipeline if 'RandAugment' in step.type]
    transform = TRANSFORMS.build(step).t
    assert (transform.num_ops, transform.magnitude, transform.num_magnitude_bins) == (2, 7, 31)
    assert transform.interpolation.value == 'bilinear'


def test_erased_pixels_are_zero_after_normalization(cfg, model):
    (step,) = [step for step in cfg.train_pipeline if step.type == 'RandomErasing']
    assert step.erase_prob == 0.25
    erase = TRANSFORMS.build({**step, 'erase_prob': 1.0, 'min_area_ratio': 0.3})
    image = erase(dict(img=np.zeros((64, 64, 3), np.uint8)))['img']
    x = torch.from_numpy(image).permute(2, 0, 1)[None]
    (normalized,) = model.data_preprocessor(dict(inputs=x))['inputs']
    erased = torch.from_numpy(image.any(-1))
    assert erased.float().mean() > 0.2
    assert normalized[:, erased].abs().max() < 0.01


def test_mixup_or_cutmix_one_of_the_two_for_a_batch(cfg, model):
    augment = model.data_preprocessor.batch_augments
    assert [(type(a).__name__, a.alpha) for a in augment.augments] == [('Mixup', 0.2), ('CutMix', 1.0)]
    assert augment.probs is None  # equal


@pytest.mark.parametrize('pipeline', ['train_pipeline', 'test_pipeline'])
def test_one_step_and_one_prediction_from_image_files(pipeline, cfg, model, tmp_path):
    generator = np.random.default_rng(0)
    samples = []
    for i in range(2):
        path = tmp_path / f'{i}.jpg'
        mmcv.imwrite(generator.integers(0, 255, (300, 400, 3), dtype=np.uint8), str(path))
        samples.append(Compose([TRANSFORMS.build(t) for t in cfg[pipeline]])(dict(img_path=str(path), gt_label=i)))
    batch = default_collate(samples)
    assert batch['inputs'].shape == (2, 3, 224, 224)

    if pipeline == 'train_pipeline':
        before = {name: parameter.clone() for name, parameter in model.named_parameters()}
        losses = model.train_step(batch, build_optim_wrapper(model, cfg.optim_wrapper))
        assert losses['loss'].isfinite()
        assert all(not torch.equal(parameter, before[name]) for name, parameter in model.named_parameters())
    else:
        predictions = model.eval().test_step(batch)
        assert [tuple(p.pred_score.shape) for p in predictions] == [(1000,), (1000,)]


def test_tta_averages_the_image_and_its_mirror_image(cfg, model, tmp_path):
    mmcv.imwrite(np.random.default_rng(0).integers(0, 255, (300, 400, 3), dtype=np.uint8), str(tmp_path / 'a.jpg'))
    pipeline = Compose([TRANSFORMS.build(t) for t in cfg.tta_pipeline])
    views = pipeline(dict(img_path=str(tmp_path / 'a.jpg'), gt_label=0))
    assert torch.equal(views['inputs'][0], views['inputs'][1].flip(-1))
    tta = MODELS.build(dict(**cfg.tta_model, module=cfg.model)).eval()
    batch = {key: [[value] for value in values] for key, values in views.items()}
    batch['inputs'] = [torch.stack(view) for view in batch['inputs']]
    (prediction,) = tta.test_step(batch)
    assert prediction.pred_score.sum().item() == pytest.approx(1, abs=1e-4)
