"""The plan of a training: its time is the sum of its steps and evaluations, and a long one names a shorter."""

import re

import pytest
from mmengine.config import Config

from mmspartan import config_path, own_data
from mmspartan.benchmark import training_plan as plan
from mmspartan.benchmark.training_plan import Cost, Length, length_of, measure, plan_of, spoken
from mmspartan.datasets.mosaic import GridMosaic
from mmspartan.datasets.prepare.recommend import CPU_BASE
from mmspartan.runs.training_step import TrainingStep
from tests.conftest import make_parts


@pytest.fixture
def cfg() -> Config:
    base = Config.fromfile(config_path('rtdetr_spartan_t_coco'))
    files = dict(train=('train.json', ''), val=('val.json', ''))
    base.merge_from_dict(own_data(base, 'data', ('cat',), **files, image_size=(640, 480), max_epochs=50, batch_size=4))
    return base


def test_time_is_that_of_all_steps_and_evaluations(cfg):
    length = length_of(cfg, train=43, val=10)
    assert length == Length(steps=10, epochs=[45, 5], evaluations=25, images=10)  # the last tenth without augmentation
    assert length.seconds(Cost(steps=[2.0, 3.0], image=0.5)) == 10 * (45 * 2.0 + 5 * 3.0) + 25 * 10 * 0.5


def test_epochs_are_counted_by_the_stages_that_run(cfg):
    stage = dict(pipeline=[dict(type='RandomFlip')])
    cfg.custom_hooks = [dict(type='StageHook', switch_epochs=[4, 4, 30, 50], stages=[stage] * 4)]
    assert length_of(cfg, 43, 10).epochs == [4, 26, 20]  # the fourth would begin at the end
    cfg.custom_hooks = [dict(type='FinalStageHook', final_epochs=60, **stage), dict(type='NumClassCheckHook')]
    assert length_of(cfg, 43, 10).epochs == [50]
    cfg.custom_hooks = None
    assert length_of(cfg, 43, 10).epochs == [50]


@pytest.mark.parametrize(
    ('seconds', 'text'), [(7.24, '7.2 seconds'), (150, '2.5 minutes'), (5 * 3600, '5 hours'), (86400 * 3, '3 days')]
)
def test_durations_have_the_unit_that_people_use(seconds, text):
    assert spoken(seconds) == text


def test_long_training_on_a_cpu_names_one_of_an_hour(cfg, monkeypatch):
    monkeypatch.setattr(plan, 'get_device', lambda: 'cpu')
    measured = []

    def measure(config: Config) -> Cost:
        measured.append(config)
        return Cost(steps=[10.0] * 2, image=1.0) if len(measured) == 1 else Cost(steps=[0.5] * 2, image=0.0)

    lines = plan_of(cfg, 400, 20, measure)
    small = measured[1]
    assert next(item.scale for item in small.train_pipeline if item.type == 'Resize') == (160, 128)
    assert small.model.bbox_head.num_classes == 1 and small.train_cfg.max_epochs == 100
    width, height = map(int, re.search(rf'--base {CPU_BASE} --image-size (\d+) (\d+)', lines[1]).groups())
    seconds = 100 * 50 * 0.5 * width * height / (160 * 128)
    assert seconds <= 3600 and width / height == pytest.approx(4 / 3, abs=0.1)


def test_what_cannot_be_measured_is_said(cfg):
    def measure(config: Config) -> Cost:
        raise RuntimeError('CUDA out of memory')

    assert 'CUDA out of memory' in plan_of(cfg, 400, 20, measure)[0]
    assert '--batch-size' in plan_of(cfg, 3, 20, measure)[0]


@pytest.mark.training
def test_steps_of_each_stage_of_deim_and_an_evaluation_are_measured(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_parts(tmp_path, 6)
    cfg = Config.fromfile(config_path('deim_spartan_xt_n_coco'))
    train, val = ((f'{split}/_annotations.coco.json', f'{split}/') for split in ('train', 'valid'))
    classes = ('washer', 'nut', 'bolt')
    cfg.merge_from_dict(own_data(cfg, 'mine', classes, train, val, image_size=(128, 96), batch_size=2))
    cfg.train_dataloader.update(num_workers=0, persistent_workers=False)
    cfg.model.num_queries = cfg.model.test_cfg.max_per_img = 30
    trained, mosaics = [], []
    train_step, make_mosaic = TrainingStep.__call__, GridMosaic.__init__

    def step(self, batch):
        trained.append([type(augment).__name__ for augment in self.model.data_preprocessor.batch_augments or ()])
        train_step(self, batch)

    def made(self, *args, **kwargs):
        mosaics.append(len(trained))
        make_mosaic(self, *args, **kwargs)

    monkeypatch.setattr(TrainingStep, '__call__', step)
    monkeypatch.setattr(GridMosaic, '__init__', made)
    monkeypatch.setattr(plan, 'LEAST', 0.0)
    cost = measure(cfg)
    assert len(cost.steps) == 4 and min(cost.steps) > cost.image > 0
    # two steps of each stage, and before them one with one image
    assert trained == [[]] * 3 + [['BatchMixUp']] * 2 + [[]] * 4
    assert set(mosaics) == {3}  # in the pipeline of the second stage
