"""A detector trains on mmdet's wrappers of datasets, with batches that draw reproducibly."""

import pytest
import torch
from mmengine.config import Config

from mmspartan.commands.launch import build_runner
from mmspartan.datasets.calibration import CalibrationImages
from tests.conftest import DATA, make_digits
from tests.runs.conftest import EXPERIMENTS

ANNOTATIONS = dict(type='LoadAnnotations', with_bbox=True)
LOAD = [dict(type='LoadImageFromFile', backend_args=dict(backend='picture')), dict(type='CheckPicture'), ANNOTATIONS]
PACK = [
    dict(type='Resize', scale=(64, 64), keep_ratio=False),
    dict(type='FilterAnnotations', min_gt_bbox_wh=(1, 1), keep_empty=False),
    dict(type='PackDetInputs'),
]
MIX = dict(img_scale=(64, 64), pad_val=0)


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp('data')
    make_digits(folder, 8, 2)
    return folder / 'digits'


def wrapped(name: str, dataset: dict) -> dict:
    if name == 'indices':  # all wrappers that only choose images
        balanced = dict(type='ClassBalancedDataset', dataset=dataset, oversample_thr=0.5)
        repeated = dict(type='RepeatDataset', dataset=balanced, times=2)
        return dict(type='ConcatDataset', datasets=[repeated, dataset])
    return dict(
        type='MultiImageMixDataset', dataset=dict(dataset, pipeline=LOAD), pipeline=[dict(type=name, **MIX), *PACK]
    )


def weights_after_one_epoch(work_dir, data, name: str, workers: int) -> dict[str, torch.Tensor]:
    cfg = Config.fromfile(DATA / 'rtdetr_quick.py')
    options = {f'{phase}_dataloader.dataset.data_root': str(data) for phase in ('train', 'val', 'test')}
    cfg.merge_from_dict({**options, 'work_dir': str(work_dir), 'launcher': 'none', 'log_level': 'ERROR'})
    cfg.train_dataloader.dataset.pipeline = [*LOAD, *PACK]
    cfg.train_dataloader.dataset = wrapped(name, cfg.train_dataloader.dataset.to_dict())
    cfg.train_dataloader.num_workers = workers
    cfg.train_dataloader.persistent_workers = workers > 0
    cfg.experiment_name = f'wrappers_{next(EXPERIMENTS)}'
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.default_hooks.checkpoint.save_best = None
    runner = build_runner(cfg)
    runner.train()
    return runner.model.state_dict()


@pytest.mark.parametrize('name', ['indices', 'Mosaic'])
def test_detector_trains_on_a_wrapper_the_same_with_any_number_of_workers(name, data, tmp_path):
    first, second = (weights_after_one_epoch(tmp_path / str(n), data, name, n) for n in (0, 2))
    assert all(value.isfinite().all() and torch.equal(value, second[key]) for key, value in first.items())


def test_images_for_calibration_are_those_within_wrappers(data):
    cfg = Config.fromfile(DATA / 'rtdetr_quick.py')
    cfg.merge_from_dict({f'{phase}_dataloader.dataset.data_root': str(data) for phase in ('train', 'test')})
    alone = CalibrationImages(cfg, 4)
    cfg.train_dataloader.dataset = wrapped('indices', cfg.train_dataloader.dataset.to_dict())
    cfg.test_dataloader.dataset = dict(type='ConcatDataset', datasets=[cfg.test_dataloader.dataset.to_dict()])
    images = CalibrationImages(cfg, 4)
    assert images.classes == alone.classes and len(images.dataset) == 2 * len(alone.dataset)
    assert torch.equal(images.dataset[0]['inputs'], alone.dataset[0]['inputs'])
