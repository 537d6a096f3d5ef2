"""A training of another length keeps the shape of its schedule."""

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from mmspartan import config_path
from mmspartan.commands.launch import build_runner
from mmspartan.runs.schedule import stretch_schedule, without_too_short
from mmspartan.runs.work_dir import latest_checkpoint
from tests.conftest import refuses
from tests.runs.conftest import digits_config, same_result

DIGITS = config_path('rtdetr_spartan_xt_digits')
EPOCHS = Config.fromfile(DIGITS).train_cfg.max_epochs


@pytest.mark.parametrize('option', ['max_epochs', 'train_cfg.max_epochs'])
def test_epochs_on_the_command_line_move_warm_up_and_decay(option):
    cfg = Config.fromfile(DIGITS)
    lines = stretch_schedule(cfg, {option: 2 * EPOCHS})
    assert cfg.train_cfg.max_epochs == 2 * EPOCHS
    assert [scheduler.end for scheduler in cfg.param_scheduler] == [240, 2 * EPOCHS]
    expected = f'max_epochs is {2 * EPOCHS} instead of {EPOCHS}: the schedule moves with it'
    assert lines[0] == expected and len(lines) == 3


def test_iterations_milestones_and_hooks_move():
    cfg = Config(
        dict(
            train_cfg=dict(
                by_epoch=False, max_iters=1000, val_begin=41, val_interval=300, dynamic_intervals=[(800, 1)]
            ),
            default_hooks=dict(checkpoint=dict(type='CheckpointHook', save_begin=100)),
            param_scheduler=[dict(type='MultiStepLR', by_epoch=False, milestones=[500, 900], end=1000)],
            custom_hooks=[
                dict(type='PipelineSwitchHook', switch_epoch=20, switch_pipeline=[]),
                dict(type='FinalStageHook', final_epochs=4, pipeline=[]),
                dict(type='EMAHook', begin_iter=60),
                dict(type='StageHook', switch_epochs=[0, 7, 30], stages=[]),
                dict(type='mmpretrain.SwitchRecipeHook', schedule=[dict(action_epoch=1), dict(action_epoch=11)]),
            ],
        )
    )
    stretch_schedule(cfg, {'max_iters': 500})
    assert cfg.param_scheduler[0].milestones == [250, 450] and cfg.param_scheduler[0].end == 500
    assert cfg.custom_hooks[0].switch_epoch == 10 and cfg.custom_hooks[1].final_epochs == 2
    assert cfg.custom_hooks[2].begin_iter == 30 and cfg.default_hooks.checkpoint.save_begin == 50
    assert cfg.train_cfg.dynamic_intervals == [(400, 1)] and cfg.custom_hooks[3].switch_epochs == [0, 4, 15]
    assert [stage.action_epoch for stage in cfg.custom_hooks[4].schedule] == [1, 6]  # which are counted from 1
    assert (cfg.train_cfg.val_begin, cfg.train_cfg.val_interval) == (21, 150)
    stretch_schedule(cfg, {'max_iters': 1000})
    assert cfg.train_cfg.val_interval == 150


def test_a_warm_up_of_less_than_two_epochs_is_left_out():
    cfg = Config.fromfile(config_path('spartan_t_in1k'))
    lines = stretch_schedule(cfg, {'train_cfg.max_epochs': 15})
    assert [scheduler.type for scheduler in cfg.param_scheduler] == ['UnshiftedCosineAnnealingLR']
    assert '  param_scheduler.0 (LinearLR): left out, it would be shorter than two epochs' in lines


@pytest.mark.parametrize(
    'options',
    [
        None,
        {'train_cfg.max_epochs': EPOCHS},
        {'train_cfg.max_epochs': 2 * EPOCHS, 'param_scheduler.0.end': 120, 'param_scheduler.1.end': EPOCHS},
        {'train_cfg.by_epoch': False, 'train_cfg.max_iters': 100, 'train_cfg.max_epochs': None},
    ],
    ids=['nothing', 'the same length', 'a schedule of its own', 'another unit'],
)
def test_what_leaves_the_schedule_as_it_is(options):
    cfg = Config.fromfile(DIGITS)
    assert stretch_schedule(cfg, options) == []
    assert [scheduler.end for scheduler in cfg.param_scheduler] == [120, EPOCHS]


def test_a_warm_up_of_less_than_two_iterations_is_left_out():
    schedulers = [dict(type='LinearLR', end=0.5, convert_to_iter_based=True), dict(type='CosineAnnealingLR', begin=0.5)]
    assert without_too_short(schedulers, 3) == schedulers[1:]
    assert without_too_short(schedulers, 4) == schedulers


@HOOKS.register_module()
class RecordAverage(Hook):
    """Keeps the decay of the averaged weights."""

    def before_train(self, runner):
        averaged = next(hook for hook in runner.hooks if type(hook).__name__ == 'RunLengthEMAHook').ema_model
        runner.message_hub.update_info('average', [averaged.momentum, averaged.gamma])


def test_horizon_of_the_averaged_weights_is_a_share_of_the_training(tmp_path):
    hooks = [dict(type='RunLengthEMAHook', horizon=0.25), dict(type='RecordAverage')]
    runner = build_runner(digits_config(tmp_path / 'run', custom_hooks=hooks))
    runner.train()
    assert runner.message_hub.get_info('average') == [1 / 4, 4]  # of 16 iterations
    kept = torch.load(tmp_path / 'run' / 'epoch_2.pth', weights_only=True)
    assert 'ema_state_dict' in kept


def test_averaged_weights_need_a_share():
    with refuses('RunLengthEMAHook', 'horizon', 2000):
        HOOKS.build(dict(type='RunLengthEMAHook', horizon=2000))


STRONG = [dict(type='Resize', scale=(32, 32)), dict(type='RandomErasing', erase_prob=1.0), dict(type='PackInputs')]
FINAL_STAGE = {
    'train_dataloader.dataset.pipeline': STRONG,
    'custom_hooks': [dict(type='FinalStageHook', final_epochs=1, pipeline=[STRONG[0], STRONG[2]])],
}


def test_last_epochs_without_augmentation_resume_as_an_unbroken_run(tmp_path, train):
    whole = build_runner(digits_config(tmp_path / 'whole', **FINAL_STAGE))
    whole.train()
    assert len(whole.train_dataloader.dataset.pipeline.transforms) == 2
    work_dir = train('broken', kill=('after_train_iter', 12), **FINAL_STAGE)
    train('broken', resume=latest_checkpoint(work_dir), **FINAL_STAGE)
    assert same_result(work_dir, tmp_path / 'whole')
