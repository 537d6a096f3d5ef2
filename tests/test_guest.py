"""A guest in a project of somebody else: the wheel, their config and dataset, and the scripts of their own stack."""

import importlib
import re
import shutil
from pathlib import Path

import pytest
import torch

from tests.conftest import DATA, ROOT, last_line, python
from tests.docs.scripts import run_here

# Their package: a registry with a scope of its own, and a dataset in it.
PROJECT = """
from mmdet.datasets import CocoDataset
from mmdet.registry import DATASETS as MMDET
from mmengine.registry import Registry

DATASETS = Registry('dataset', parent=MMDET, scope='theirs', locations=['theirs'])


@DATASETS.register_module()
class Scenes(CocoDataset):
    METAINFO = dict(classes=tuple('0123456789'))
"""

# What both of their detectors share.
DATA_OF = """
custom_imports = dict(imports=['mmspartan', 'theirs'], allow_failed_imports=False)
_load = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', with_bbox=True)]
_size = [dict(type='Resize', scale=(64, 64), keep_ratio=False)]
_keys = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')


def _loader(name, **options):
    dataset = dict(type='theirs.Scenes', data_root='digits/', ann_file=f'{name}.json', data_prefix=dict(img=f'{name}/'),
                   pipeline=_load + _size + [dict(type='PackDetInputs', meta_keys=_keys)], **options)
    sampler = dict(type='DefaultSampler', shuffle=name == 'train')
    return dict(batch_size=4, num_workers=0, persistent_workers=False, sampler=sampler, dataset=dataset)


train_dataloader = _loader('train')
val_dataloader = test_dataloader = _loader('val', test_mode=True)
val_evaluator = test_evaluator = dict(type='CocoMetric', ann_file='digits/val.json', metric='bbox')
train_cfg = dict(max_epochs=1, val_interval=1)
del _loader
"""

RETINANET = """
_base_ = ['mmdet::_base_/models/retinanet_r50_fpn.py', 'mmdet::_base_/schedules/schedule_1x.py',
          'mmdet::_base_/default_runtime.py']
runner_type = 'ResumableRunner'  # reads mmengine's checkpoints, which torch.load refuses from torch 2.6 on
model = dict(
    backbone=dict(_delete_=True, type='SpaRTAN', arch='xt', out_indices=(0, 1, 2, 3)),
    neck=dict(in_channels=[32, 64, 96, 192]),
    bbox_head=dict(num_classes=10),
    test_cfg=dict(score_thr=0.0),  # an untrained model finds something
)
"""

RTDETR = """
_base_ = __import__('mmspartan').config_path('rtdetr_spartan_xt_digits')
"""


class Guest:
    """Their project in a folder, with this package installed from its wheel."""

    def __init__(self, folder: Path, site: Path):
        self.folder, self.site = folder, site
        (folder / 'theirs.py').write_text(PROJECT)
        (folder / 'retinanet.py').write_text(RETINANET + DATA_OF)
        (folder / 'rtdetr.py').write_text(RTDETR + DATA_OF)
        shutil.copy(DATA / 'digits_quick.py', folder / 'classifier.py')
        size = ['--train', 8, '--val', 4, '--size', 64]
        run_here(ROOT / 'tools' / 'dataset_converters' / 'digits_to_coco.py', '--out', 'digits', *size, cwd=folder)

    def run(self, toolbox: str, script: str, *arguments: object) -> str:
        """Run a script of the toolbox itself; returns what it printed."""
        path = Path(importlib.import_module(toolbox).__path__[0], '.mim', 'tools', script)
        result = python(str(path), *map(str, arguments), cwd=self.folder, site=f'{self.site}:{self.folder}')
        assert result.returncode == 0, result.stderr[-2000:]
        return result.stdout + result.stderr


@pytest.fixture(scope='module')
def guest(tmp_path_factory, site) -> Guest:
    return Guest(tmp_path_factory.mktemp('guest'), site)


def test_imported_from_the_wheel(guest):
    result = python('-c', 'import mmspartan; print(mmspartan.__file__)', cwd=guest.folder, site=guest.site)
    assert result.stdout.splitlines()[-1] == str(guest.site / 'mmspartan' / '__init__.py'), result.stderr


@pytest.mark.training
@pytest.mark.parametrize(
    ('toolbox', 'config', 'metric'),
    [
        ('mmdet', 'retinanet', r'bbox_mAP_copypaste: (-?[\d.]+)'),
        ('mmdet', 'rtdetr', r'bbox_mAP_copypaste: (-?[\d.]+)'),
        ('mmpretrain', 'classifier', r'accuracy/top1: ([\d.]+)'),
    ],
)
def test_their_own_scripts_train_resume_and_test(toolbox, config, metric, guest):
    work_dir = guest.folder / 'work_dirs' / config
    guest.run(toolbox, 'train.py', f'{config}.py')
    first = torch.load(work_dir / 'epoch_1.pth', weights_only=False)
    resumed = guest.run(toolbox, 'train.py', f'{config}.py', '--resume', '--cfg-options', 'train_cfg.max_epochs=2')
    second = torch.load(work_dir / 'epoch_2.pth', weights_only=False)
    assert second['meta']['iter'] == 2 * first['meta']['iter']
    assert any(not torch.equal(value, second['state_dict'][key]) for key, value in first['state_dict'].items())
    tested = guest.run(toolbox, 'test.py', f'{config}.py', work_dir / 'epoch_2.pth')
    assert re.findall(metric, tested)[-1] == re.findall(metric, resumed)[-1]


def test_names_that_mmengine_does_not_read_are_told_with_those_that_it_does(tmp_path):
    (tmp_path / 'named.py').write_text("_base_ = 'mmspartan::spartan_t_in1k.py'\n")
    told = last_line('train.py', 'named.py', cwd=tmp_path)
    assert told.startswith('named.py: ') and "_base_ = __import__('mmspartan').config_path('NAME')" in told
