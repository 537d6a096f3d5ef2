"""What the training and test scripts decide before a run."""

import pytest
from mmengine.config import Config

from mmspartan.engine import launch


def test_latest_checkpoint_is_the_noted_one_or_else_that_of_the_highest_epoch(tmp_path):
    assert launch.latest_checkpoint(tmp_path) is None
    for name in ('epoch_2.pth', 'epoch_10.pth', 'best_accuracy_epoch_11.pth', 'epoch_12.pth.part'):
        (tmp_path / name).touch()
    assert launch.latest_checkpoint(tmp_path) == str(tmp_path / 'epoch_10.pth')
    note = tmp_path / 'last_checkpoint'
    note.write_text(str(tmp_path / 'epoch_2.pth'))
    assert launch.latest_checkpoint(tmp_path) == str(tmp_path / 'epoch_2.pth')
    note.write_text('')  # killed while it was written
    assert launch.latest_checkpoint(tmp_path) == str(tmp_path / 'epoch_10.pth')


def test_without_a_gpu_amp_becomes_full_precision_and_says_so():
    cfg = Config(dict(launcher='none', optim_wrapper=dict(type='AmpOptimWrapper', loss_scale='dynamic', optimizer={})))
    with pytest.warns(UserWarning, match='full precision'):
        launch._adapt_to_cpu(cfg)
    assert cfg.optim_wrapper == dict(type='OptimWrapper', optimizer={})


def test_without_a_gpu_batch_statistics_are_not_synchronized():
    cfg = Config(dict(launcher='none', sync_bn='torch'))
    with pytest.warns(UserWarning, match='sync_bn'):
        launch._adapt_to_cpu(cfg)
    assert cfg.sync_bn is None


def test_without_a_gpu_slurm_is_refused():
    with pytest.raises(SystemExit, match='--launcher slurm needs GPUs'):
        launch._adapt_to_cpu(Config(dict(launcher='slurm')))
