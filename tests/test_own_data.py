"""A config whose classes, files, size and length stand once."""

import shutil

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS, MODELS, init_default_scope
from mmengine.runner import load_checkpoint

from mmspartan import config_path, weights
from mmspartan.checkpoints.checkpoint import read_checkpoint
from mmspartan.commands.launch import build_runner
from tests.configs.smallest import shrink
from tests.conftest import make_parts

CONFIG = """
_base_ = __import__('mmspartan').config_path('{base}')
locals().update(__import__('mmspartan').own_data(_base_, {arguments}))
"""
BASE = """
_base_ = __import__('mmspartan').config_path('rtdetr_spartan_t_coco')
_mixed = [dict(type='Resize', scale=(3200, 320), keep_ratio=True), dict(type='GridMosaic', loading=[])]
_sizes = [[dict(type='Resize', scale=(640, 640))], [dict(type='Resize', scale=(320, 320)), dict(type='Pad')]]
train_pipeline = [
    dict(type='RandomChoice', transforms=[_mixed, dict(type='PhotoMetricDistortion')]),
    dict(type='RandomChoice', transforms=_sizes),
    dict(type='PackDetInputs'),
]
"""
TRAINING = """
_base_ = __import__('mmspartan').config_path('{base}')
_files = [(f'{{split}}/_annotations.coco.json', f'{{split}}/') for split in ('train', 'valid')]
locals().update(
    __import__('mmspartan').own_data(
        _base_, 'mine', ('washer', 'nut', 'bolt'), *_files, image_size=(96, 64), max_epochs={epochs}, batch_size=2
    )
)
train_dataloader.update(num_workers=0, persistent_workers=False)
val_dataloader.update(num_workers=0, persistent_workers=False)
randomness = dict(seed=1)
"""
FILES = "root='data/mine', classes=('cat', 'dog'), train=('train.json', 'train/'), val=('val.json', '../val/')"


def config_of(tmp_path, arguments: str = '', base: str = 'rtdetr_spartan_t_coco', files: str = FILES) -> Config:
    path = tmp_path / 'config.py'
    path.write_text(CONFIG.format(base=base, arguments=f'{files}, {arguments}'))
    return Config.fromfile(path)


def test_each_place_follows(tmp_path):
    arguments = (
        "image_size=(320, 256), max_epochs=40, batch_size=4, weights='detector.pth', test=('test.json', 'test/')"
    )
    cfg = config_of(tmp_path, arguments)
    assert cfg.model.bbox_head.num_classes == 2 and cfg.model.bbox_head.type == 'RTDETRHead'
    for phase, file in {'train': 'train.json', 'val': 'val.json', 'test': 'test.json'}.items():
        dataset = cfg[f'{phase}_dataloader'].dataset
        assert dataset.metainfo.classes == ('cat', 'dog') and dataset.type == 'CheckedCocoDataset'
        assert (dataset.data_root, dataset.ann_file) == ('data/mine/', file)
        assert [step.scale for step in dataset.pipeline if step.type == 'Resize'] == [(320, 256)]
    assert cfg.val_dataloader.dataset.data_prefix.img == '../val/'
    assert cfg.val_evaluator.ann_file == 'data/mine/val.json' and cfg.val_evaluator.type == 'CheckedCocoMetric'
    assert cfg.test_evaluator.ann_file == 'data/mine/test.json'
    assert cfg.train_dataloader.batch_size == 4 and cfg.load_from == 'detector.pth'
    assert cfg.train_cfg.max_epochs == cfg.param_scheduler[1].end == 40 and 'init_cfg' not in cfg.model.backbone
    assert cfg.auto_scale_lr.base_batch_size == 16  # the rate of 16 images is scaled for 4
    # 480 to 800 at 640 are 192 to 320 at 256
    [augment] = cfg.model.data_preprocessor.batch_augments
    assert (augment.sizes[0], augment.sizes[-1], max(augment.sizes)) == (192, 320, 320)


@pytest.mark.parametrize(
    ('base', 'start'),
    [('deim_spartan_xt_digits', 'spartan_xt_cifar10'), ('rtdetr_spartan_t_coco', 'spartan_t_cifar10')],
)
def test_each_weight_of_the_backbone_starts_from_the_package(base, start, tmp_path):
    backbone = MODELS.build(config_of(tmp_path, base=base).model.backbone)
    backbone.init_weights()
    read = read_checkpoint(weights(start))['state_dict']
    for key, value in backbone.state_dict().items():
        assert torch.equal(value, read[f'backbone.{key}'].to(value.dtype)), key


@pytest.mark.parametrize('base', ['rtdetr_spartan_xt_digits', 'rtdetr_spartan_xt_cifar10'])
def test_the_small_detector_starts_from_one_of_the_package(base, tmp_path):
    cfg = config_of(tmp_path, base=base)
    assert cfg.load_from == 'mmspartan://rtdetr_spartan_xt_cifar10'
    assert cfg.visualizer.font_size is cfg.visualizer.line_width is None  # they grow with the image
    own_batch = config_of(tmp_path, 'batch_size=4', base=base)
    assert own_batch.auto_scale_lr.base_batch_size == own_batch.train_dataloader.batch_size == 4  # the rate stays
    given = config_of(tmp_path, "weights='mine.pth', batch_size=4", base=base)
    assert given.load_from == 'mine.pth' and given.auto_scale_lr.base_batch_size == 4
    init_default_scope(cfg.default_scope)
    detector = MODELS.build(cfg.model)
    load_checkpoint(detector, cfg.load_from)
    read, found = read_checkpoint(weights('rtdetr_spartan_xt_cifar10'))['state_dict'], detector.state_dict()
    anew = {key for key in found if 'cls_branches' in key or 'label_embedding' in key}
    assert read.keys() == found.keys() and 4 < len(anew) < 10
    for key in found.keys() - anew:
        assert torch.equal(found[key], read[key].to(found[key].dtype)), key


@pytest.mark.parametrize(
    ('backbone', 'rest'),
    [
        ("dict(init_cfg=dict(type='Kaiming', layer='Conv2d'))", ''),
        ("dict(init_cfg=[dict(type='Kaiming', layer='Conv2d')])", ''),
        ("dict(smixer=dict(type='ConvSMixer'))", ''),
        ("dict(conv_type='depthwise')", ''),
        ('dict()', "load_from = 'mine.pth'"),
    ],
)
def test_a_start_of_the_base_stays_and_where_weights_do_not_fit_there_is_none(backbone, rest, tmp_path):
    base = tmp_path / 'base.py'
    base.write_text(
        f"_base_ = __import__('mmspartan').config_path('rtdetr_spartan_xt_coco')\n"
        f'model = dict(backbone={backbone})\n{rest}\n'
    )
    path = tmp_path / 'config.py'
    path.write_text(f"_base_ = 'base.py'\nlocals().update(__import__('mmspartan').own_data(_base_, {FILES}))")
    assert Config.fromfile(path).model.backbone == Config.fromfile(base).model.backbone


def test_last_tenth_is_trained_without_strong_augmentation(tmp_path):
    cfg = config_of(tmp_path, 'max_epochs=40')
    [stage] = [hook for hook in cfg.custom_hooks if hook.type == 'FinalStageHook']
    assert stage.final_epochs == 4 and 'from_best' not in stage
    assert config_of(tmp_path, base='dfine_spartan_xt_coco').custom_hooks[-1].from_best
    left_out = [step for step in cfg.train_pipeline if step not in stage.pipeline]
    inner = [step.transforms[0].type if step.type == 'RandomApply' else step.type for step in left_out]
    assert inner == ['PhotoMetricDistortion', 'CropFirst']
    # of the digits only the multi-scale training is left out
    cfg = config_of(tmp_path, base='rtdetr_spartan_xt_digits')
    assert [hook.type for hook in cfg.custom_hooks] == ['RunLengthEMAHook', 'NumClassCheckHook', 'FinalStageHook']
    assert cfg.custom_hooks[2].pipeline == cfg.train_pipeline
    assert cfg.metainfo.classes == ('cat', 'dog') and cfg.data_root == 'data/mine/'


def test_a_choice_of_strong_augmentations_is_left_out_in_the_end(tmp_path):
    path = tmp_path / 'base.py'
    path.write_text(BASE)
    cfg = config_of(tmp_path, 'max_epochs=40', base=str(path))
    [stage] = [hook for hook in cfg.custom_hooks if hook.type == 'FinalStageHook']
    assert [step.type for step in stage.pipeline] == ['RandomChoice', 'PackDetInputs']
    assert [[step.type for step in part] for part in stage.pipeline[0].transforms] == [['Resize'], ['Resize', 'Pad']]


STAGED = ['deim_rtdetrv2_r18vd_coco', 'deim_hgnetv2_l_coco', 'deim_spartan_xt_n_coco', 'deimv2_hgnetv2_femto_coco']


@pytest.mark.parametrize('base', STAGED)
def test_stages_of_deim_keep_their_shares_and_the_last_is_a_tenth(base, tmp_path):
    cfg, before = config_of(tmp_path, 'max_epochs=40', base=base), Config.fromfile(config_path(base))
    found, expected = cfg.custom_hooks[-1], before.custom_hooks[-1]
    begins = [round(epoch * 40 / before.train_cfg.max_epochs) for epoch in expected.switch_epochs]
    assert found.switch_epochs == [*begins[:-1], 36] and begins[2] in range(19, 22)
    assert [hook.type for hook in cfg.custom_hooks] == ['RunLengthEMAHook', 'NumClassCheckHook', 'StageHook']
    assert found.stages == expected.stages and cfg.train_dataloader.dataset.type == 'MosaicCocoDataset'
    short = config_of(tmp_path, 'max_epochs=2', base=base).custom_hooks[-1].switch_epochs
    assert short == [0, 0, 1, *[2] * (len(begins) - 3)]


@pytest.mark.parametrize(('size', 'short'), [((320, 256), 128), ((256, 320), 128), ((1280, 640), 320)])
def test_sizes_of_all_stages_follow(size, short, tmp_path):
    cfg = config_of(tmp_path, f'image_size={size}', base='deim_spartan_t_coco')
    for stage in cfg.custom_hooks[-1].stages:
        assert [step.scale for step in stage.pipeline if step.type == 'Resize'] == [size]
    [choice] = [step for step in cfg.custom_hooks[-1].stages[1].pipeline if step.type == 'RandomChoice']
    resize, mosaic, *_ = choice.transforms[0]
    assert resize == mosaic.loading[-1] == dict(type='Resize', scale=(10 * short, short), keep_ratio=True)


TRAINED = {  # in its first epoch DEIM mixes images, in the second not; D-FINE begins its last with the best weights
    'deim_rtdetrv2_r18vd_coco': 2,
    'deim_spartan_xt_coco': 2,
    'deimv2_hgnetv2_n_coco': 2,
    'dfine_spartan_xt_coco': 6,
}


@HOOKS.register_module()
class FirstIsBest(Hook):
    """Replaces the AP of networks that are hardly trained: with 0 no checkpoint is the best."""

    priority = 'LOW'  # before checkpoints

    def after_val_epoch(self, runner, metrics):
        metrics['coco/bbox_mAP'] = 1 / runner.epoch


@pytest.mark.training
@pytest.mark.parametrize(('base', 'epochs'), TRAINED.items())
def test_training_with_evaluations_resumes_as_if_unbroken(base, epochs, tmp_path, monkeypatch):
    make_parts(tmp_path, 6)
    monkeypatch.chdir(tmp_path)
    config = tmp_path / 'config.py'
    config.write_text(TRAINING.format(base=base, epochs=epochs))

    def train(folder: str, **options) -> dict:
        cfg = Config.fromfile(config)
        shrink(cfg.model)
        cfg.custom_hooks.append(dict(type='FirstIsBest'))
        cfg.update(work_dir=folder, experiment_name=f'{base}_{folder}', launcher='none', log_level='ERROR', **options)
        runner = build_runner(cfg)
        runner.train()
        assert runner.message_hub.get_scalar('val/coco/bbox_mAP').current() >= 0
        return torch.load(tmp_path / folder / f'epoch_{epochs}.pth', weights_only=True)

    expected = train('unbroken')
    best = next((tmp_path / 'unbroken').glob('best_*.pth'))
    (tmp_path / 'resumed').mkdir()
    shutil.copy(best, tmp_path / 'resumed')  # looked for in the work dir alone
    found = train('resumed', resume=True, load_from=f'unbroken/epoch_{epochs - 1}.pth')
    assert found['meta']['iter'] == expected['meta']['iter'] == 2 * epochs
    assert found['state_dict'].keys() == expected['state_dict'].keys()
    for name, value in expected['state_dict'].items():
        assert value.isfinite().all() and torch.equal(found['state_dict'][name], value), name


def test_defaults_are_those_of_the_base(tmp_path):
    cfg, base = config_of(tmp_path), Config.fromfile(config_path('rtdetr_spartan_t_coco'))
    assert cfg.train_cfg.max_epochs == base.train_cfg.max_epochs
    assert cfg.train_dataloader.batch_size == base.train_dataloader.batch_size
    assert cfg.test_pipeline == base.test_pipeline and cfg.load_from is None
    assert cfg.test_dataloader.dataset.ann_file == 'val.json'
    assert cfg.model.data_preprocessor == base.model.data_preprocessor


@pytest.mark.parametrize(
    ('before', 'after', 'message'),
    [
        (
            'root',
            'image_size=(100, 64), root',
            r'image_size must be \(width, height\), multiples of 32, got \(100, 64\)',
        ),
        ('root', 'image_size=(64,), root', r'image_size must be \(width, height\)'),
        ("'dog'", "'cat'", r"classes must be different names, got \('cat', 'cat'\)"),
        ("'data/mine'", "''", r"root must be the folder of the annotation files \(.*\), got ''"),
    ],
)
def test_wrong_arguments(before, after, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        config_of(tmp_path, files=FILES.replace(before, after))


def test_root_may_be_that_of_the_machine(tmp_path):
    cfg = config_of(tmp_path, files=FILES.replace("'data/mine'", "'/'"))
    assert cfg.train_dataloader.dataset.data_root == '/' and cfg.val_evaluator.ann_file == '/val.json'
