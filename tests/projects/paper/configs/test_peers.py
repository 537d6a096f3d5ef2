"""The peers of Tables II and III build at the published size, and train by the recipe."""

import copy

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from mmpretrain.structures import DataSample

from mmspartan.analysis.counting import build_counted, parameters
from mmspartan.commands.config_check import check_config
from projects.paper.reproduction.configs import config_path
from projects.paper.reproduction.tables import TABLES
from tests.rtdetr.test_detector import batch

ROWS = {row.config: row for table in TABLES[:2] for row in table.rows if row.config.startswith('peers/')}
CLASSIFIERS = [name for name in ROWS if name.endswith('_in1k')]
DETECTORS = [name for name in ROWS if name.endswith('_coco')]
# The published parameters are those of another form than the published AP.
PLAIN = {'peers/deformable_detr_r50_coco': dict(as_two_stage=False, with_box_refine=False)}


def load(name: str) -> Config:
    cfg = Config.fromfile(config_path(name))
    init_default_scope(cfg.default_scope)
    return cfg


def test_there_are_eleven_classifiers_and_three_detectors():
    assert (len(CLASSIFIERS), len(DETECTORS)) == (11, 3)


@pytest.mark.parametrize('name', CLASSIFIERS)
def test_classifier_has_the_recipe_of_the_paper(name):
    cfg = load(name).to_dict()
    recipe = Config.fromfile(config_path('spartan_t_256_in1k' if '256' in name else 'spartan_t_in1k')).to_dict()
    model, expected = cfg.pop('model'), recipe.pop('model')
    assert 'mmspartan' in cfg.pop('custom_imports')['imports']
    recipe.pop('custom_imports')
    assert cfg == recipe
    assert model['train_cfg'] == expected['train_cfg'] and model['data_preprocessor'] == expected['data_preprocessor']
    assert model.get('head', model)['loss'] == expected['head']['loss']


@pytest.mark.parametrize('name', CLASSIFIERS)
def test_classifier_takes_a_step_and_predicts(name):
    cfg = load(name)
    cfg.optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1))
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    size = (224, 224) if any(kind in name for kind in ('deit', 'efficientformer', 'swin', 'vit_c')) else (64, 64)
    data = dict(
        inputs=torch.randint(0, 255, (2, 3, *size)), data_samples=[DataSample().set_gt_label(i) for i in (3, 5)]
    )
    before = {key: value.clone() for key, value in model.named_parameters()}
    losses = model.train().train_step(copy.deepcopy(data), build_optim_wrapper(model, cfg.optim_wrapper))
    assert losses['loss'].isfinite()
    moved = [key for key, value in model.named_parameters() if not torch.equal(value, before[key])]
    assert len(moved) > len(before) / 3 and any(key.startswith(('backbone', 'stem', 'model.stem')) for key in moved)
    assert [len(one.pred_score) for one in model.eval().test_step(data)] == [1000, 1000]


@pytest.mark.parametrize('name', DETECTORS)
def test_detector_has_the_published_parameters(name):
    cfg = load(name)
    check_config(cfg, name)
    cfg.model.update(PLAIN.get(name, {}))
    assert parameters(build_counted(cfg)) / 1e6 == pytest.approx(float(ROWS[name].published['parameters']), rel=0.015)


@pytest.mark.parametrize('name', DETECTORS)
def test_detector_has_the_recipe_of_deformable_detr(name):
    cfg = load(name)
    assert cfg.train_cfg.max_epochs == 50 and cfg.param_scheduler[0].milestones == [40]
    assert cfg.runner_type == 'ResumableRunner' and cfg.default_hooks.checkpoint.type == 'SafeCheckpointHook'
    assert cfg.train_dataloader.dataset.type == 'CheckedCocoDataset' and cfg.how_to_get_data
    # learning rate for one image
    assert cfg.optim_wrapper.optimizer.lr / cfg.auto_scale_lr.base_batch_size == pytest.approx(1e-4 / 16)


@pytest.mark.parametrize('name', DETECTORS)
def test_detector_takes_a_step_and_predicts(name):
    cfg = load(name)
    cfg.model.backbone.update(depth=18, init_cfg=None)
    cfg.model.neck.in_channels = [128, 256, 512]
    cfg.model.encoder.num_layers = cfg.model.decoder.num_layers = 2
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    data = batch(3, 1, shapes=[(128, 160)] * 2, num_classes=80)
    before = {key: p.detach().clone() for key, p in model.named_parameters() if p.requires_grad}
    cfg.optim_wrapper.clip_grad = None
    losses = model.train().train_step(copy.deepcopy(data), build_optim_wrapper(model, cfg.optim_wrapper))
    assert losses['loss'].isfinite()
    assert ('dn_loss_cls' in losses) == ('/dn_' in name) and ('enc_loss_cls' in losses) == ('/deformable' in name)
    moved = {key for key, p in model.named_parameters() if key in before and not torch.equal(p, before[key])}
    # positions reach the loss through weights that start at zero
    assert {key.split('.')[0] for key in moved} == {key.split('.')[0] for key in before} - {'level_embed'}
    predictions = model.eval().test_step(data)
    assert [len(one.pred_instances) for one in predictions] == [cfg.model.test_cfg.max_per_img] * 2
