"""A guest in projects of somebody else: the wheel, their configs and datasets, and the scripts of their own stack."""

import importlib
import json
import re
from pathlib import Path

import pytest
import torch
from mmengine.config import config
from mmengine.runner import checkpoint as loading

from mmspartan.stack import release
from tests.conftest import make_digits, python

# mmengine's Runner reads its own checkpoints: torch.load refuses those of a stock mmengine from torch 2.6 on.
STOCK_RESUMES = release(torch.__version__) < (2, 6) or hasattr(loading, 'get_torch_safe_globals')

# What formats the text of a config. OneDL's mmengine imports it when it is called.
FORMATTER = f'{config.__name__ if hasattr(config, "FormatCode") else "yapf.yapflib.yapf_api"}.FormatCode'

# Their package: for each toolbox a registry with a scope of its own, and a dataset in it.
PROJECT = """
import json
from pathlib import Path

from {toolbox}.datasets import {parent}
from {toolbox}.registry import DATASETS as PARENT
from mmengine.registry import Registry

DATASETS = Registry('dataset', parent=PARENT, scope='theirs', locations=['theirs.{toolbox}'])


@DATASETS.register_module()
class Scenes({parent}):
"""
DATASETS = {
    'mmdet': (
        'CocoDataset',
        """
    METAINFO = dict(classes=tuple('0123456789'))
""",
    ),
    'mmpretrain': (
        'BaseDataset',
        """
    METAINFO = dict(classes=tuple('0123456789'))

    def load_data_list(self):  # an image is of the class of its first digit
        coco = json.loads(Path(self.ann_file).read_text())
        label = {each['image_id']: each['category_id'] - 1 for each in reversed(coco['annotations'])}
        path = {each['id']: str(Path(self.img_prefix, each['file_name'])) for each in coco['images']}
        return [dict(img_path=path[image], gt_label=label[image]) for image in sorted(label)]
""",
    ),
    'mmseg': (
        'BaseSegDataset',
        """
    METAINFO = dict(classes=('background', *'0123456789'), palette=[[25 * i] * 3 for i in range(11)])
""",
    ),
    'mmpose': (
        'CocoDataset',
        """
    METAINFO = dict(
        dataset_name='scenes',
        keypoint_info={
            i: dict(id=i, name=name, type='', swap='', color=[255, 0, 0])
            for i, name in enumerate(('top', 'right', 'bottom', 'left'))
        },
        skeleton_info={},
        joint_weights=[1.0] * 4,
        sigmas=[0.05] * 4,
    )
""",
    ),
}

# What their configs share. The backbone has the widths of XT and fewer blocks.
COMMON = """
_arch = dict(channels=(32, 64, 96, 192), depths=(1, 1, 1, 1), expand_ratios=(2, 2, 2, 2))


def _loader(name, pipeline, **dataset):
    dataset = dict(type='theirs.Scenes', data_root='digits/', pipeline=pipeline, **dataset)
    sampler = dict(type='DefaultSampler', shuffle=name == 'train')
    return dict(batch_size=4, num_workers=0, persistent_workers=False, sampler=sampler, dataset=dataset)


def _coco(name, pipeline, **dataset):
    return _loader(name, pipeline, ann_file=f'{name}.json', **dataset)
"""
OWN_RUNNER = """
runner_type = 'ResumableRunner'
"""
BOXES = """
_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=(64, 64), keep_ratio=False),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]
train_dataloader = _coco('train', _pipeline, data_prefix=dict(img='train/'))
val_dataloader = test_dataloader = _coco('val', _pipeline, data_prefix=dict(img='val/'), test_mode=True)
val_evaluator = test_evaluator = dict(type='CocoMetric', ann_file='digits/val.json', metric='bbox')
train_cfg = dict(max_epochs=1, val_interval=1)
"""
CONFIGS = {
    'retinanet': """
_base_ = [
    'mmdet::_base_/models/retinanet_r50_fpn.py',
    'mmdet::_base_/schedules/schedule_1x.py',
    'mmdet::_base_/default_runtime.py',
]
model = dict(
    backbone=dict(_delete_=True, type='SpaRTAN', arch=_arch, out_indices=(0, 1, 2, 3)),
    neck=dict(in_channels=[32, 64, 96, 192]),
    bbox_head=dict(num_classes=10),
    test_cfg=dict(score_thr=0.0),  # an untrained model finds something
)
"""
    + BOXES,
    'rtdetr': """
_base_ = __import__('mmspartan').config_path('rtdetr_spartan_xt_digits')
model = dict(backbone=dict(arch=dict(_delete_=True, **_arch)))
"""
    + BOXES,
    'classifier': """
_base_ = [
    'mmpretrain::_base_/models/resnet18.py',
    'mmpretrain::_base_/schedules/imagenet_bs256.py',
    'mmpretrain::_base_/default_runtime.py',
]
data_preprocessor = dict(num_classes=10, mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)
model = dict(
    backbone=dict(_delete_=True, type='SpaRTAN', arch=_arch),
    head=dict(in_channels=192, num_classes=10),
)
_pipeline = [dict(type='LoadImageFromFile'), dict(type='PackInputs')]
train_dataloader = _coco('train', _pipeline, data_prefix='train/')
val_dataloader = test_dataloader = _coco('val', _pipeline, data_prefix='val/', test_mode=True)
val_evaluator = test_evaluator = dict(type='Accuracy', topk=(1, 5))
train_cfg = dict(max_epochs=1)
""",
    'segformer': """
_base_ = [  # the fork of mmengine finds no mmseg::
    f"{__import__('mmseg').__path__[0]}/.mim/configs/_base_/{part}.py"
    for part in ('models/segformer_mit-b0', 'schedules/schedule_20k', 'default_runtime')
]
model = dict(
    data_preprocessor=dict(size=(64, 64)),
    backbone=dict(_delete_=True, type='SpaRTAN', arch=_arch, out_indices=(0, 1, 2, 3)),
    decode_head=dict(in_channels=[32, 64, 96, 192], num_classes=11, norm_cfg=dict(type='BN')),
)
_pipeline = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')]
train_dataloader, val_dataloader = (
    _loader(name, _pipeline, img_suffix='.png', data_prefix=dict(img_path=name, seg_map_path=f'{name}_masks'))
    for name in ('train', 'val')
)
test_dataloader = val_dataloader
val_evaluator = test_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
train_cfg = dict(max_iters=1, val_interval=1)
default_hooks = dict(checkpoint=dict(interval=1))
""",
    'heatmap': """
_base_ = 'mmpose::_base_/default_runtime.py'
_codec = dict(type='MSRAHeatmap', input_size=(64, 64), heatmap_size=(16, 16), sigma=1)
model = dict(
    type='TopdownPoseEstimator',
    data_preprocessor=dict(type='PoseDataPreprocessor', mean=[127.5] * 3, std=[64.0] * 3),
    backbone=dict(type='SpaRTAN', arch=_arch),
    head=dict(
        type='HeatmapHead',
        in_channels=192,
        out_channels=4,
        deconv_out_channels=(64, 64, 64),
        deconv_kernel_sizes=(4, 4, 4),
        loss=dict(type='KeypointMSELoss', use_target_weight=True),
        decoder=_codec,
    ),
)
_load = [dict(type='LoadImage'), dict(type='GetBBoxCenterScale'), dict(type='TopdownAffine', input_size=(64, 64))]
_target, _pack = [dict(type='GenerateTarget', encoder=_codec)], [dict(type='PackPoseInputs')]
train_dataloader = _coco('train', _load + _target + _pack, data_prefix=dict(img='train/'))
val_dataloader = test_dataloader = _coco('val', _load + _pack, data_prefix=dict(img='val/'), test_mode=True)
val_evaluator = test_evaluator = dict(type='PCKAccuracy', thr=0.5)
optim_wrapper = dict(optimizer=dict(type='AdamW', lr=1e-3))
train_cfg = dict(max_epochs=1, val_interval=1)
default_hooks = dict(checkpoint=dict(interval=1))
""",
}

# Runs scripts one after the other, each in a process forked from one that has only imported the toolboxes.
FORKED = """
import importlib, json, multiprocessing, os, runpy, sys
from unittest import mock

toolbox, calls, formatter = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]
# yapf would take most of the time of a training this short
mock.patch(formatter, lambda text, **options: (text, True)).start()
for package in (toolbox, 'mmdet'):  # mmspartan imports mmdet
    importlib.import_module(f'{package}.apis')
import mmspartan

assert os.path.dirname(mmspartan.__path__[0]) == os.environ['PYTHONPATH'].split(':')[0]  # the wheel, not the checkout


def run(log):
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    runpy.run_path(sys.argv[0], run_name='__main__')


for i, sys.argv in enumerate(calls):
    log = f'{toolbox}{i}.txt'
    # ends without the handlers of the parent's libraries: ONNX Runtime's wait for threads that a fork does not have
    process = multiprocessing.get_context('fork').Process(target=run, args=[log])
    process.start()
    process.join()
    if process.exitcode:
        sys.exit(open(log).read())
"""


class Guest:
    """Their project in a folder, with this package installed from its wheel."""

    def __init__(self, folder: Path, site: Path):
        self.folder, self.site = folder, site
        (folder / 'theirs').mkdir()
        for toolbox, (parent, body) in DATASETS.items():
            project = PROJECT.format(toolbox=toolbox, parent=parent)
            (folder / 'theirs' / f'{toolbox}.py').write_text(project.rstrip() + body)
        make_digits(folder, 8, 4, '--masks', '--keypoints')

    def python(self, *arguments: str):
        return python(*arguments, cwd=self.folder, site=f'{self.site}:{self.folder}')

    def run(self, toolbox: str, *calls: list[str]) -> list[str]:
        """Run scripts of the toolbox itself, each given with its arguments; returns what each printed."""
        scripts = Path(importlib.import_module(toolbox).__path__[0], '.mim', 'tools')
        calls = [[str(scripts / script), *arguments] for script, *arguments in calls]
        result = self.python('-c', FORKED, toolbox, json.dumps(calls), FORMATTER)
        assert result.returncode == 0, result.stderr[-3000:]
        return [(self.folder / f'{toolbox}{i}.txt').read_text() for i in range(len(calls))]


@pytest.fixture(scope='module')
def guest(tmp_path_factory, site) -> Guest:
    return Guest(tmp_path_factory.mktemp('guest'), site)


@pytest.mark.training
@pytest.mark.parametrize(
    ('toolbox', 'names', 'unit', 'metric'),
    [
        ('mmdet', ('retinanet', 'rtdetr'), 'epoch', r'bbox_mAP_copypaste: (-?[\d.]+)'),
        ('mmpretrain', ('classifier',), 'epoch', r'accuracy/top1: ([\d.]+)'),
        ('mmseg', ('segformer',), 'iter', r'mIoU: ([\d.]+)'),
        ('mmpose', ('heatmap',), 'epoch', r'PCK: ([\d.]+)'),
    ],
)
def test_their_own_scripts_train_resume_and_test(toolbox, names, unit, metric, guest, monkeypatch):
    pytest.importorskip(toolbox, reason=f'{toolbox} is not installed')
    registers = f"custom_imports = dict(imports=['mmspartan', 'theirs.{toolbox}'], allow_failed_imports=False)\n"
    if not STOCK_RESUMES and toolbox == 'mmpose':  # whose scripts build mmengine's Runner whatever the config says
        monkeypatch.setenv('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD', '1')
    elif not STOCK_RESUMES:
        registers += OWN_RUNNER
    calls, work_dirs = [], [guest.folder / 'work_dirs' / name for name in names]
    for name, work_dir in zip(names, work_dirs):
        (guest.folder / f'{name}.py').write_text(f'{COMMON}{CONFIGS[name]}{registers}del _loader, _coco\n')
        longer = ['--resume', '--cfg-options', f'train_cfg.max_{unit}s=2']
        calls += [['train.py', f'{name}.py'], ['train.py', f'{name}.py', *longer]]
        calls += [['test.py', f'{name}.py', str(work_dir / f'{unit}_2.pth')]]
    printed = guest.run(toolbox, *calls)
    for work_dir, resumed, tested in zip(work_dirs, printed[1::3], printed[2::3]):
        first, second = (torch.load(work_dir / f'{unit}_{n}.pth', weights_only=False) for n in (1, 2))
        assert re.search(r'resumed epoch: \d+, iter: (\d+)', resumed)[1] == str(first['meta']['iter'])
        assert second['meta']['iter'] == 2 * first['meta']['iter']
        assert any(not torch.equal(value, second['state_dict'][key]) for key, value in first['state_dict'].items())
        assert f'Load checkpoint from {work_dir / f"{unit}_2.pth"}' in tested
        assert re.findall(metric, tested)[-1] == re.findall(metric, resumed)[-1]
