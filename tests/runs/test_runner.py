"""How the Runner reads parts of a config."""

from pathlib import Path
from types import SimpleNamespace

import mmengine.hooks
import mmengine.runner
import pytest
from mmengine.config import Config

from mmspartan.commands.launch import build_runner
from mmspartan.errors import InputError
from mmspartan.runs.runner import ResumableRunner
from tests.runs.conftest import digits_config


def test_unknown_collate_function_is_named():
    with pytest.raises(InputError, match=r"collate_fn\.type of a data loader: 'pseudo_colate' is no registered"):
        ResumableRunner.build_dataloader(dict(collate_fn=dict(type='pseudo_colate')))
    for without in (dict(type=''), dict(type_='default_collate')):
        with pytest.raises(InputError, match=r"collate_fn\.type of a data loader: (''|None) is no registered"):
            ResumableRunner.build_dataloader(dict(collate_fn=without))


def test_unknown_argument_of_the_checkpoint_hook_is_named_before_the_training(tmp_path):
    options = {'default_hooks.checkpoint.max_keep_ckptss': 3}
    with pytest.raises(TypeError, match=r'SafeCheckpointHook.*max_keep_ckptss'):
        build_runner(digits_config(tmp_path, **options))


def test_runs_of_one_process_draw_into_their_own_folders(tmp_path):
    runs = [build_runner(digits_config(tmp_path / name, visualizer=dict(name='visualizer'))) for name in 'ab']
    folders = [next(iter(run.visualizer._vis_backends.values()))._save_dir for run in runs]
    assert [tmp_path / name in Path(folder).parents for name, folder in zip('ab', folders)] == [True, True]


def test_training_loop_of_no_kind_is_named(tmp_path):
    runner = build_runner(digits_config(tmp_path))
    runner._train_loop = dict(max_epochs=2)
    with pytest.raises(InputError, match='train_cfg: has neither by_epoch nor type'):
        runner.train()


@pytest.mark.parametrize('kind', ['name', 'path', 'class'])
def test_classes_of_mmengine_are_replaced_however_a_config_names_them(kind, tmp_path):
    loop, hook = mmengine.runner.EpochBasedTrainLoop, mmengine.hooks.CheckpointHook
    if kind != 'class':
        loop, hook = (f'mmengine.{x.__name__}' if kind == 'path' else x.__name__ for x in (loop, hook))
    cfg = digits_config(tmp_path, train_cfg=dict(_delete_=True, type=loop, max_epochs=1))
    cfg.default_hooks.checkpoint = dict(type=hook)
    runner = build_runner(cfg)
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    assert type(runner.train_loop).__name__ == 'ResumableEpochBasedTrainLoop'
    assert 'SafeCheckpointHook' in {type(each).__name__ for each in runner.hooks}


def test_classes_that_are_trained_and_evaluated_on_are_compared(monkeypatch):
    def loop(*classes: str) -> SimpleNamespace:
        return SimpleNamespace(dataloader=SimpleNamespace(dataset=SimpleNamespace(metainfo=dict(classes=classes))))

    monkeypatch.setattr(mmengine.runner.Runner, 'build_val_loop', lambda self, built: built)
    runner = ResumableRunner.__new__(ResumableRunner)
    runner._train_loop, runner.cfg = loop('a', 'b'), Config()
    runner.build_val_loop(loop('a', 'b'))
    with pytest.raises(InputError, match=r'val_dataloader\.dataset'):
        runner.build_val_loop(loop('a', 'c'))


def test_default_hook_that_is_none_is_left_out(tmp_path):
    def kinds(name: str, **hooks) -> set[str]:
        return {type(hook).__name__ for hook in build_runner(digits_config(tmp_path / name, default_hooks=hooks)).hooks}

    assert kinds('with') - kinds('without', visualization=None) == {'BGRVisualizationHook'}
