"""The configs of DEIM are RT-DETRv2 and D-FINE with the authors' recipe, which trains in stages and resumes in each."""

import math
from dataclasses import dataclass

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from mmspartan.commands.launch import build_runner
from mmspartan.datasets.mosaic import GridMosaic
from mmspartan.runs.schedule import stretch_schedule
from tests.configs.rates import assert_rates, rates_of_iterations
from tests.configs.test_rtdetr import load
from tests.conftest import DATA, make_digits
from tests.runs.conftest import EXPERIMENTS


@dataclass
class Recipe:
    """Epochs, first epochs of the stages, learning rates, and what differs in N, L and X of D-FINE.

    The normalizations of the backbone have the rate of the decoder and no decay, or are as the rest of the backbone.
    """

    epochs: int
    begins: list[int]
    rate: float
    backbone: float
    decay: float = 1e-4
    images: int = 32  # of a batch
    is_constant: bool = False  # the rate after its warm-up
    backbone_norms_alike: bool = False
    biases_decay: bool = True

    @property
    def last_share(self) -> float:
        return 1.0 if self.is_constant else 0.5


S = Recipe(132, [0, 4, 64, 120], 4e-4, 2e-4)
N = Recipe(160, [0, 4, 78, 148], 8e-4, 4e-4, 1e-4, 128, True, True, False)
RECIPES = {
    'rtdetrv2_r18vd': Recipe(120, [0, 4, 64, 117], 2e-4, 2e-4, images=16),
    'rtdetrv2_r34vd': Recipe(120, [0, 4, 64, 117], 2e-4, 1e-4, images=16),
    'rtdetrv2_r50vd': Recipe(60, [0, 4, 34, 58], 2e-4, 2e-5, images=16),
    'rtdetrv2_r50vd_m': Recipe(60, [0, 4, 34, 58], 2e-4, 2e-5, images=16),
    'rtdetrv2_r101vd': Recipe(60, [0, 4, 34, 58], 2e-4, 2e-6, images=16),
    'hgnetv2_n': N,
    'hgnetv2_s': S,
    'hgnetv2_m': Recipe(102, [0, 4, 49, 90], 4e-4, 4e-5),
    'hgnetv2_l': Recipe(58, [0, 4, 29, 50], 5e-4, 2.5e-5, 1.25e-4, backbone_norms_alike=True),
    'hgnetv2_x': Recipe(58, [0, 4, 29, 50], 5e-4, 5e-6, 1.25e-4, backbone_norms_alike=True),
    'spartan_xt_n': N,
    'spartan_xt': S,
    'spartan_t': S,
}


@pytest.mark.parametrize('name', RECIPES)
def test_network_is_that_of_the_base_with_another_loss_and_activation_and_nothing_frozen(name):
    is_dfine = not name.startswith('rtdetrv2')
    expected, found = load(f'dfine_{name}_coco' if is_dfine else f'{name}_coco').model, load(f'deim_{name}_coco').model
    loss = found.bbox_head.pop('loss_cls')
    assert loss == dict(type='MatchabilityAwareLoss', alpha=1.0, gamma=1.5, loss_weight=1.0)
    del expected.bbox_head['loss_cls']
    assert found.dn_cfg.pop('keep_sides')
    expected.dn_cfg.pop('keep_sides', None)  # D-FINE has it, too
    silu = dict(type='SiLU')
    assert found.bbox_head.pop('act_cfg') == found.decoder.pop('act_cfg') == silu
    assert found.decoder.layer_cfg.ffn_cfg.pop('act_cfg') == silu
    assert found.decoder.pop('num_query_pos_layers') == (2 if is_dfine else 3)
    if is_dfine:
        expected.backbone.update({key: False for key in expected.backbone if key.startswith('frozen')})
    else:
        expected.backbone.update(frozen_stages=-1, norm_eval=False)
        expected.backbone.norm_cfg.requires_grad = True
        found.backbone.setdefault('frozen_stages', -1)
        found.backbone.norm_cfg.setdefault('requires_grad', True)
    if name == 'rtdetrv2_r50vd_m':  # three layers in training as well
        expected.decoder.num_layers = expected.test_cfg.pop('num_decoder_layers')
    assert found == expected


@pytest.mark.parametrize('name', RECIPES)
def test_stages_of_the_augmentation(name):
    cfg = load(f'deim_{name}_coco')
    epochs, begins = RECIPES[name].epochs, RECIPES[name].begins
    assert cfg.train_cfg.max_epochs == epochs
    assert [hook.type for hook in cfg.custom_hooks] == ['EMAHook', 'NumClassCheckHook', 'StageHook']
    hook = cfg.custom_hooks[-1]
    assert HOOKS.build(hook).switch_epochs == begins
    plain, dense, strong, final = hook.stages
    assert plain.pipeline == final.pipeline == load('rtdetrv2_r18vd_coco').final_stage.pipeline
    assert strong.pipeline == cfg.train_pipeline
    assert [stage.get('multi_scale', True) for stage in hook.stages] == [True, True, True, False]
    augments = [stage.get('batch_augments', []) for stage in hook.stages]
    assert augments == [[], [dict(type='BatchMixUp', prob=0.5, ratio=(0.45, 0.55))], [], []]
    (choice,) = [step for step in dense.pipeline if step.type == 'RandomChoice']
    index = dense.pipeline.index(choice)
    assert [*dense.pipeline[:index], *choice.transforms[1], *dense.pipeline[index + 1 :]] == strong.pipeline
    assert choice.prob == [0.5, 0.5] and choice.transforms[0][-1] == choice.transforms[1][0]  # distortion in both
    assert cfg.train_dataloader.dataset.type == 'MosaicCocoDataset'
    stretch_schedule(cfg, dict(max_epochs=epochs // 2))
    assert cfg.custom_hooks[-1].switch_epochs == [round(begin / 2) for begin in begins]


@pytest.mark.parametrize('name', RECIPES)
def test_batches_on_eight_gpus_and_warm_up_of_the_averages(name):
    cfg = load(f'deim_{name}_coco')
    assert 8 * cfg.train_dataloader.batch_size == cfg.auto_scale_lr.base_batch_size == RECIPES[name].images
    assert cfg.custom_hooks[0].gamma == (2000 if name.startswith('rtdetrv2') else 1000)


@pytest.mark.parametrize('name', [name for name in RECIPES if name not in ('rtdetrv2_r50vd_m', 'rtdetrv2_r101vd')])
def test_learning_rate_and_decay_of_each_kind_of_parameter(name):
    recipe = RECIPES[name]
    norms = 'as the backbone' if recipe.backbone_norms_alike else 'as elsewhere'
    numbers = (recipe.rate, recipe.backbone, recipe.decay, recipe.biases_decay)
    assert not assert_rates(load(f'deim_{name}_coco'), *numbers, norms)


@pytest.mark.parametrize('name', RECIPES)
def test_learning_rate_warms_up_stays_falls_along_a_cosine_and_stays(name):
    length, recipe = 70, RECIPES[name]  # the warm-up ends before the rate falls, as with all images
    *_, flat, last = recipe.begins
    begin, end = flat * length, last * length
    found = rates_of_iterations(load(f'deim_{name}_coco'), recipe.epochs * length, length, 1.0, 0.1)
    for iteration, rates in enumerate(found):
        if iteration < 2000:
            expected = ((iteration + 1) / 2000) ** 2
        else:
            progress = min(max(iteration - begin, 0) / (end - begin), 1)
            expected = recipe.last_share + (1 - recipe.last_share) * (1 + math.cos(math.pi * progress)) / 2
        assert rates == pytest.approx([expected, 0.1 * expected], rel=1e-5), iteration


@HOOKS.register_module()
class RecordBatches(Hook):
    """Keeps the images that the network is trained with, and the boxes of their objects, by the iteration."""

    def __init__(self):
        self.batches = {}

    def before_train(self, runner):
        def record(module, args, output):
            boxes = [sample.gt_instances.bboxes for sample in output['data_samples']]
            self.batches[runner.iter] = (output['inputs'].clone(), torch.cat(boxes))

        self.handle = runner.model.data_preprocessor.register_forward_hook(record)

    def after_train(self, runner):
        self.handle.remove()


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp('data')
    make_digits(folder, 16, 2)
    return folder / 'digits'


def small(steps: dict | list) -> dict | list:
    """Steps of a pipeline with a tenth of their sizes."""
    if isinstance(steps, list):
        return [small(step) for step in steps]
    step = {**steps, **{key: small(steps[key]) for key in ('transforms', 'loading') if key in steps}}
    if step['type'] == 'Resize':
        step['scale'] = tuple(side // 10 for side in step['scale'])
    return step


def train(work_dir, data, workers: int = 0, epochs: int = 4, resume: str | None = None):
    """Train an epoch of four batches in each stage, and return the batches by the number of the iteration."""
    cfg = Config.fromfile(DATA / 'rtdetr_quick.py')
    recipe = load('deim_rtdetrv2_r34vd_coco')
    stages = [dict(stage, pipeline=small(stage.pipeline)) for stage in recipe.custom_hooks[-1].stages]
    hook = dict(type='StageHook', switch_epochs=[0, 1, 2, 3], stages=stages)
    scale = dict(type='BatchRandomChoiceResize', sizes=[64, 96])
    options = {f'{phase}_dataloader.dataset.data_root': str(data) for phase in ('train', 'val', 'test')}
    cfg.merge_from_dict(
        {
            **options,
            'work_dir': str(work_dir),
            'experiment_name': f'deim_{next(EXPERIMENTS)}',
            'launcher': 'none',
            'log_level': 'ERROR',
            'train_cfg.max_epochs': epochs,
            'train_dataloader.dataset.type': 'MosaicCocoDataset',
            'train_dataloader.num_workers': workers,
            'train_dataloader.persistent_workers': workers > 0,
            'model.bbox_head.loss_cls': recipe.model.bbox_head.loss_cls,
            'model.data_preprocessor.batch_augments': [scale],
            'custom_hooks': [hook, dict(type='RecordBatches')],
            'default_hooks.checkpoint.save_best': None,
            'default_hooks.checkpoint.max_keep_ckpts': -1,
            'randomness.seed': 5,
        }
    )
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.param_scheduler = [dict(recipe.warm_up, end=4), dict(recipe.annealing, begin=2, end=3)]
    if resume:
        cfg.load_from, cfg.resume = resume, True
    runner = build_runner(cfg)
    runner.train()
    assert all(value.isfinite().all() for value in runner.model.state_dict().values())
    return next(hook.batches for hook in runner.hooks if isinstance(hook, RecordBatches))


@pytest.fixture(scope='module')
def unbroken(data, tmp_path_factory):
    """The work dir of a training that nothing interrupts, and its batches."""
    folder = tmp_path_factory.mktemp('unbroken')
    return folder, train(folder, data)


def assert_same(found: dict, expected: dict) -> None:
    assert found.keys() == expected.keys()
    for iteration, tensors in expected.items():
        assert all(torch.equal(*pair) for pair in zip(found[iteration], tensors)), iteration


def test_persistent_workers_train_each_stage_with_its_augmentation(data, tmp_path, unbroken, monkeypatch):
    found = train(tmp_path, data, workers=1)
    assert_same(found, unbroken[1])
    assert {tuple(found[i][0].shape[-2:]) for i in range(12)} == {(64, 64), (96, 96)}
    assert {tuple(found[i][0].shape[-2:]) for i in range(12, 16)} == {(64, 64)}
    objects = [sum(len(found[4 * stage + i][1]) for i in range(4)) for stage in range(4)]
    assert objects[0] == objects[3] >= objects[2] and objects[1] > 1.5 * objects[0]
    monkeypatch.setattr(GridMosaic, 'transform', lambda self, results: results)
    without = train(tmp_path / 'without', data)
    changed = {i for i, (_, boxes) in without.items() if not torch.equal(found[i][1], boxes)}
    assert changed and changed <= {4, 5, 6, 7}  # mosaics in the second stage alone


@pytest.mark.parametrize('done', [1, 2, 3])
def test_resumed_in_a_stage_trains_with_the_batches_of_an_unbroken_training(done, data, tmp_path, unbroken):
    folder, batches = unbroken
    rest = train(tmp_path, data, resume=str(folder / f'epoch_{done}.pth'))
    assert_same(rest, {i: batches[i] for i in range(4 * done, 16)})
