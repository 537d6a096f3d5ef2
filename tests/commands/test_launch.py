"""What the training and test scripts decide before a run."""

import os
import warnings
from argparse import Namespace
from pathlib import Path

import pytest
from mmengine.config import Config

from mmspartan import config_path
from mmspartan.commands import launch
from mmspartan.errors import InputError
from mmspartan.runs.runner import ResumableRunner
from mmspartan.runs.work_dir import latest_checkpoint, remove_partial_files
from tests.conftest import last_line


def test_latest_checkpoint_is_the_noted_one_or_else_that_of_the_highest_epoch(tmp_path):
    assert latest_checkpoint(tmp_path) is None
    for name in ('epoch_2.pth', 'epoch_10.pth', 'best_accuracy_epoch_11.pth', 'epoch_12.pth.part'):
        (tmp_path / name).touch()
    assert latest_checkpoint(tmp_path) == str(tmp_path / 'epoch_10.pth')
    note = tmp_path / 'last_checkpoint'
    note.write_text(str(tmp_path / 'epoch_2.pth'))
    assert latest_checkpoint(tmp_path) == str(tmp_path / 'epoch_2.pth')
    for content in ('', 'epoch_99.pth', '\0'):  # killed while it was written, or removed since
        note.write_text(content)
        assert latest_checkpoint(tmp_path) == str(tmp_path / 'epoch_10.pth')


def test_work_dir_whose_name_cannot_be_noted_is_refused_at_once(monkeypatch):
    monkeypatch.setattr(launch, 'force_weights_only', lambda: None)
    monkeypatch.setenv('LOCAL_RANK', '0')
    args = Namespace(
        config=config_path('spartan_xt_digits'), cfg_options=None, launcher='none', local_rank=0, work_dir='a\udcff'
    )
    with pytest.raises(InputError, match=r'work_dir a\\udcff: .*--work-dir'):
        launch.load_config(args)


def test_checkpoint_inside_the_work_dir_comes_before_that_of_the_same_name_elsewhere(tmp_path):
    for folder in ('original', 'copy'):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / 'epoch_1.pth').touch()
    (tmp_path / 'copy' / 'last_checkpoint').write_text(str(tmp_path / 'original' / 'epoch_1.pth'))
    assert latest_checkpoint(tmp_path / 'copy') == str(tmp_path / 'copy' / 'epoch_1.pth')
    (tmp_path / 'copy' / 'epoch_1.pth').unlink()  # checkpoints may be kept elsewhere (CheckpointHook.out_dir)
    assert latest_checkpoint(tmp_path / 'copy') == str(tmp_path / 'original' / 'epoch_1.pth')


def test_remains_of_killed_runs_are_removed_and_nothing_else(tmp_path):
    for name in ('epoch_1.pth.12.part', 'last_checkpoint.3.part', 'mine.part', 'epoch_1.pth'):
        (tmp_path / name).touch()
    assert sorted(remove_partial_files(tmp_path)) == ['epoch_1.pth.12.part', 'last_checkpoint.3.part']
    assert sorted(path.name for path in tmp_path.iterdir()) == ['epoch_1.pth', 'mine.part']


def test_config_of_the_work_dir_is_not_overwritten(tmp_path):
    """A work dir may be the folder of the config: ``--work-dir .``"""
    path = tmp_path / 'mine.py'
    path.write_text('a = 1  # a comment\n')
    runner = object.__new__(ResumableRunner)
    runner.cfg, runner._work_dir = Config.fromfile(path), str(tmp_path)
    runner.dump_config()
    assert path.read_text() == 'a = 1  # a comment\n'
    runner._work_dir = str(tmp_path / 'work')
    Path(runner._work_dir).mkdir()
    runner.dump_config()
    assert Config.fromfile(tmp_path / 'work' / 'mine.py').a == 1


@pytest.mark.parametrize(
    ('settings', 'told', 'adapted'),
    [
        (
            dict(optim_wrapper=dict(type='AmpOptimWrapper', loss_scale='dynamic', optimizer={})),
            'full precision',
            dict(optim_wrapper=dict(type='OptimWrapper', optimizer={})),
        ),
        (
            dict(test_cfg=dict(fp16=True)),
            r'full precision instead of AMP \(test_cfg\.fp16\)',
            dict(test_cfg=dict(fp16=False)),
        ),
        (dict(sync_bn='torch'), 'sync_bn', dict(sync_bn=None)),
    ],
    ids=['training', 'evaluation', 'batch statistics'],
)
def test_without_a_gpu_what_needs_one_is_left_out_and_named(settings, told, adapted):
    cfg = Config(dict(launcher='none', **settings))
    with pytest.warns(UserWarning, match=told):
        launch._adapt_to_cpu(cfg, launch.PHASES)
    assert cfg.to_dict() == dict(launcher='none', **adapted)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        launch._adapt_to_cpu(Config(settings | dict(launcher='none')), [])


def test_data_loaders_without_a_gpu():
    loader = dict(num_workers=9999, pin_memory=True)
    cfg = Config(
        dict(launcher='none', train_dataloader=loader, val_dataloader=None, test_dataloader=dict(num_workers=0))
    )
    launch._adapt_to_cpu(cfg, launch.PHASES)
    cores = os.cpu_count()
    assert [cfg.train_dataloader, cfg.test_dataloader] == [dict(num_workers=cores), dict(num_workers=0)]


def test_settings_that_nothing_reads_are_named():
    cfg = Config(dict(model=dict(type='A'), mine=1))
    given = ('mine', 'model.a', 'compile', 'optim_wrapper.accumulative_counts', 'train_dataloder.batch_size')
    assert launch.unknown_entries(cfg, dict.fromkeys(given)) == ['train_dataloder.batch_size']


@pytest.mark.parametrize(
    ('missing', 'message'),
    [
        ('', r'data: not there \(train_dataloader\.dataset\.dataset\.data_root\); ask me'),
        ('a.json', r'a\.json: not there \(train_dataloader\.dataset\.dataset\.ann_file\)'),
        ('b.json', r'b\.json: not there \(val_evaluator\.0\.ann_file\)'),
        ('img', r'img: not there \(val_dataloader\.dataset\.datasets\[1\]\.data_prefix\.img\)'),
        (None, None),
    ],
)
def test_data_that_is_missing_is_named_with_the_way_to_it(missing, message, tmp_path):
    root = tmp_path / 'data'
    if missing != '':
        root.mkdir()
        for name in {'a.json', 'b.json', 'img'} - {missing}:
            (root / name).touch()
    dataset = dict(data_root=str(root), ann_file='a.json')
    cfg = dict(
        train_dataloader=dict(dataset=dict(type='RepeatDataset', dataset=dataset)),
        val_dataloader=dict(
            dataset=dict(datasets=[dict(data_prefix='s3://x'), dict(dataset, data_prefix=dict(img='img'))])
        ),
        val_evaluator=[dict(type='CocoMetric', ann_file=str(root / 'b.json'))],
        test_dataloader=None,
        how_to_get_data='ask me',
    )
    if missing is None:
        return launch.require_data(Config(cfg))
    with pytest.raises(InputError, match=message):
        launch.require_data(Config(cfg))
    launch.require_data(Config(cfg), ['test'])  # an evaluation needs no training images


@pytest.mark.parametrize(
    ('files', 'wrong'),
    [
        ({'mine.py': 'mmspartan::spartan_t_in1k.py'}, 'mine.py'),
        ({'mine.py': 'mmspartan::configs/spartan_t_in1k.py'}, 'mine.py'),
        ({'mine.py': './between.py', 'between.py': 'mmspartan::spartan_t_in1k'}, 'between.py'),
    ],
    ids=['by name', 'by path', 'inherited'],
)
def test_base_that_mmengine_does_not_read_is_told_with_one_that_it_does(files, wrong, tmp_path):
    for name, base in files.items():
        (tmp_path / name).write_text(f'_base_ = {base!r}\n')
    told = last_line('train.py', 'mine.py', cwd=tmp_path)
    right = "_base_ = __import__('mmspartan').config_path('spartan_t_in1k')"
    assert told.startswith('mine.py: ') and told.endswith(f'write {right} in {tmp_path / wrong}')
    (tmp_path / wrong).write_text(f'{right}\n')
    assert launch.read_config(tmp_path / 'mine.py').model.backbone.arch == 't'


def test_names_of_other_packages_keep_the_error_of_mmengine(tmp_path):
    (tmp_path / 'mine.py').write_text("_base_ = 'mmdet::none.py'  # not mmspartan::none.py\n")
    with pytest.raises(ValueError, match='_get_package_and_cfg_path'):
        launch.read_config(tmp_path / 'mine.py')


@pytest.mark.parametrize('script', ['train.py', 'analysis_tools/get_flops.py'])  # of one config, and of several
def test_config_of_this_package_is_given_by_its_path(script, tmp_path):
    assert last_line(script, 'mmspartan::spartan_t_in1k.py', cwd=tmp_path) == (
        'mmspartan::spartan_t_in1k.py: give a path: configs/spartan_t_in1k.py, or what '
        "mmspartan.config_path('spartan_t_in1k') returns"
    )
