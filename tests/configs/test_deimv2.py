"""The configs of DEIMv2 have the recipes of the authors' configs."""

import math
from dataclasses import dataclass

import pytest
from mmengine.registry import HOOKS

from tests.configs.rates import assert_rates, rates_and_decays, rates_of_iterations
from tests.configs.test_rtdetr import load


@dataclass
class Recipe:
    """Input's side, smallest objects, share of mosaics, learning rate; the backbone has half of the rate."""

    side: int
    smallest: int
    mosaics: float
    rate: float
    biases_decay: bool = False


RECIPES = {
    'atto': Recipe(320, 12, 0.3, 2e-3, True),
    'femto': Recipe(416, 10, 0.5, 1.6e-3),
    'pico': Recipe(640, 8, 0.5, 1.6e-3),
    'n': Recipe(640, 1, 0.5, 8e-4),
}
sizes = pytest.mark.parametrize('size', RECIPES)


def load_size(size: str):
    return load(f'deimv2_hgnetv2_{size}_coco')


def steps(pipeline, kind: str) -> list:
    """All steps of a kind, also those within others."""
    found = []
    for step in pipeline:
        if isinstance(step, list):
            found += steps(step, kind)
        else:
            found += [step] * (step.type == kind)
            found += steps(step.get('transforms', []), kind) + steps(step.get('loading', []), kind)
    return found


@sizes
def test_stages_of_the_augmentation(size):
    cfg, recipe = load_size(size), RECIPES[size]
    assert [hook.type for hook in cfg.custom_hooks] == ['EMAHook', 'NumClassCheckHook', 'StageHook']
    hook = HOOKS.build(cfg.custom_hooks[-1])
    assert hook.switch_epochs == ([0, 4, 78, 136, 148] if size == 'n' else [0, 4, 250, 400, 450, 468])
    plain, dense, strong, fourth, *_, last = hook.stages
    assert fourth.pipeline == (strong if size == 'n' else plain).pipeline and last.pipeline == plain.pipeline
    assert strong.pipeline == cfg.train_pipeline == cfg.train_dataloader.dataset.pipeline
    assert cfg.train_dataloader.dataset.type == 'MosaicCocoDataset'
    last_cost = [dict(type='ScoreIoUCost', power=4.0)]
    costs = [stage.get('match_costs') for stage in hook.stages]
    assert costs == [None] * (3 if size == 'n' else 4) + [last_cost] * 2
    assert [stage.get('from_best', False) for stage in hook.stages] == [False] * (len(costs) - 1) + [True]
    (choice,) = steps(dense.pipeline, 'RandomChoice')
    index = dense.pipeline.index(choice)
    assert choice.prob == [recipe.mosaics, 1 - recipe.mosaics]
    assert [*dense.pipeline[:index], *choice.transforms[1], *dense.pipeline[index + 1 :]] == strong.pipeline
    assert cfg.model.data_preprocessor.batch_augments is None  # one size
    mixed = dict(type='BatchMixUp', prob=0.5, ratio=(0.45, 0.55), otherwise=dict(type='BatchCopyBlend', prob=0.4))
    augments = [stage.get('batch_augments') for stage in hook.stages if 'batch_augments' in stage]
    assert augments == ([[mixed]] if size == 'n' else []) and augments == [dense.get('batch_augments')][: len(augments)]


@sizes
def test_sizes_of_the_input_and_of_objects(size):
    cfg, recipe = load_size(size), RECIPES[size]
    whole = dict(type='Resize', scale=(recipe.side, recipe.side), keep_ratio=False)
    for pipeline in (cfg.test_pipeline, cfg.val_dataloader.dataset.pipeline, cfg.test_dataloader.dataset.pipeline):
        assert steps(pipeline, 'Resize') == [whole]
    for stage in cfg.custom_hooks[-1].stages:
        parts = dict(type='Resize', scale=(5 * recipe.side, recipe.side // 2), keep_ratio=True)
        mosaics = steps(stage.pipeline, 'GridMosaic')
        assert steps(stage.pipeline, 'Resize') == [parts] * 2 * len(mosaics) + [whole]
        filters = [i for i, step in enumerate(stage.pipeline) if step.type == 'FilterAnnotations']
        assert [stage.pipeline[i].min_gt_bbox_wh for i in filters] == [(recipe.smallest,) * 2] * 2
        assert filters[0] < stage.pipeline.index(whole) < filters[1]  # before and after it


@sizes
def test_length_batches_and_losses(size):
    cfg, lite = load_size(size), size != 'n'
    assert cfg.train_cfg.max_epochs == (500 if lite else 160)
    assert 8 * cfg.train_dataloader.batch_size == cfg.auto_scale_lr.base_batch_size == (128 if lite else 32)
    assert (cfg.custom_hooks[0].momentum, cfg.custom_hooks[0].gamma) == (1e-4, 1000)
    head = cfg.model.bbox_head
    assert (head.fgl_weight, head.ddf_weight) == ((0, 0) if lite else (0.15, 1.5))
    assert head.loss_cls == dict(type='MatchabilityAwareLoss', alpha=1.0, gamma=1.5, loss_weight=1.0)
    assert cfg.model.dn_cfg.keep_sides


@sizes
def test_learning_rate_and_decay_of_each_kind_of_parameter(size):
    cfg, recipe = load_size(size), RECIPES[size]
    assert sum('decoder.layers' in key and '[norm]' in key for key in rates_and_decays(cfg)) == 9
    assert not assert_rates(cfg, recipe.rate, recipe.rate / 2, biases_decay=recipe.biases_decay)


@sizes
def test_learning_rate_warms_up_stays_and_falls_along_a_cosine(size):
    length, (warm_up, begin, end, last) = 20, (2000, 0, 1, 1.0) if size == 'n' else (4000, 250, 468, 0.5)
    cfg = load_size(size)
    found = rates_of_iterations(cfg, cfg.train_cfg.max_epochs * length, length, 1.0)
    for iteration, (rate,) in enumerate(found):
        progress = min(max(iteration / length - begin, 0) / (end - begin), 1)
        expected = last + (1 - last) * (1 + math.cos(math.pi * progress)) / 2
        expected *= min((iteration + 1) / warm_up, 1) ** 2
        assert rate == pytest.approx(expected, rel=1e-5), iteration
