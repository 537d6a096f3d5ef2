"""A config whose classes, files, size and length stand once."""

import pytest
from mmengine.config import Config

from mmspartan import config_path

CONFIG = """
_base_ = __import__('mmspartan').config_path('{base}')
locals().update(__import__('mmspartan').own_data(_base_, {arguments}))
"""
FILES = "root='data/mine', classes=('cat', 'dog'), train=('train.json', 'train/'), val=('val.json', '../val/')"


def config_of(tmp_path, arguments: str = '', base: str = 'rtdetr_spartan_t_coco') -> Config:
    path = tmp_path / 'config.py'
    path.write_text(CONFIG.format(base=base, arguments=f'{FILES}, {arguments}'))
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
    assert cfg.train_cfg.max_epochs == cfg.param_scheduler[1].end == 40
    # 480 to 800 at 640 are 192 to 320 at 256
    [augment] = cfg.model.data_preprocessor.batch_augments
    assert (augment.sizes[0], augment.sizes[-1], max(augment.sizes)) == (192, 320, 320)


def test_last_tenth_is_trained_without_strong_augmentation(tmp_path):
    cfg = config_of(tmp_path, 'max_epochs=40')
    [stage] = [hook for hook in cfg.custom_hooks if hook.type == 'FinalStageHook']
    assert stage.final_epochs == 4
    left_out = [step for step in cfg.train_pipeline if step not in stage.pipeline]
    inner = [step.transforms[0].type if step.type == 'RandomApply' else step.type for step in left_out]
    assert inner == ['PhotoMetricDistortion', 'CropFirst']
    # of the digits only the multi-scale training is left out
    cfg = config_of(tmp_path, base='rtdetr_spartan_xt_digits')
    assert [hook.type for hook in cfg.custom_hooks] == ['RunLengthEMAHook', 'NumClassCheckHook', 'FinalStageHook']
    assert cfg.custom_hooks[2].pipeline == cfg.train_pipeline
    assert cfg.metainfo.classes == ('cat', 'dog') and cfg.data_root == 'data/mine/'


def test_defaults_are_those_of_the_base(tmp_path):
    cfg, base = config_of(tmp_path), Config.fromfile(config_path('rtdetr_spartan_t_coco'))
    assert cfg.train_cfg.max_epochs == base.train_cfg.max_epochs
    assert cfg.train_dataloader.batch_size == base.train_dataloader.batch_size
    assert cfg.test_pipeline == base.test_pipeline and cfg.load_from is None
    assert cfg.test_dataloader.dataset.ann_file == 'val.json'
    assert cfg.model.data_preprocessor == base.model.data_preprocessor


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ('image_size=(100, 64)', r'image_size must be \(width, height\), multiples of 32, got \(100, 64\)'),
        ('image_size=(64,)', r'image_size must be \(width, height\)'),
    ],
)
def test_wrong_arguments(arguments, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        config_of(tmp_path, arguments)


def test_classes_have_different_names(tmp_path):
    path = tmp_path / 'config.py'
    path.write_text(CONFIG.format(base='rtdetr_spartan_t_coco', arguments=FILES.replace("'dog'", "'cat'")))
    with pytest.raises(ValueError, match=r"classes must be different names, got \('cat', 'cat'\)"):
        Config.fromfile(path)
