"""The screen shows how far a run is; its log file holds everything."""

import logging
import sys

import pytest

from mmspartan.commands.launch import build_runner
from mmspartan.runs import long_work
from mmspartan.runs.screen import ScreenFilter
from tests.runs.conftest import digits_config

DETAILS = ('System environment:', 'Config:', 'Hooks will be executed in the following order', 'paramwise_options')


def test_forty_lines_at_most_before_the_first_step_and_all_details_in_the_file(train, capfd):
    options = {'train_cfg.max_epochs': 1, 'log_level': 'INFO'}
    options |= {'optim_wrapper.constructor': 'DefaultOptimWrapperConstructor'}  # which logs each parameter
    options |= {'optim_wrapper.paramwise_cfg': dict(_delete_=True, norm_decay_mult=0.0)}
    work_dir = train(**options)
    before, step, _ = capfd.readouterr().out.partition('Epoch(train)')
    (file,) = work_dir.glob('*/*.log')
    assert step and len(before.splitlines()) <= 40 and str(file) in before
    assert all(detail in file.read_text() and detail not in before for detail in DETAILS)


def test_debugging_shows_all(train, capfd):
    train(**{'train_cfg.max_epochs': 1, 'log_level': 'DEBUG'})
    assert 'Hooks will be executed in the following order' in capfd.readouterr().out


@pytest.mark.parametrize(
    ('level', 'message', 'is_shown'),
    [
        (logging.WARNING, '"FileClient" will be deprecated in future.', False),
        (logging.WARNING, 'The backbone starts from random weights.', True),
        (logging.ERROR, 'Config:\n', True),
        (logging.INFO, 'Saving checkpoint at 1 epochs', True),
    ],
)
def test_only_warnings_of_mmengine_on_its_own_calls_are_hidden(level, message, is_shown):
    record = logging.LogRecord('mmengine', level, __file__, 1, message, None, None)
    assert ScreenFilter().filter(record) == is_shown


@pytest.mark.parametrize('message', ['Evaluating bbox...', '\n Average Precision (AP)'])
def test_tables_of_a_training_are_in_the_file_alone(message):
    record = logging.LogRecord('mmengine', logging.INFO, __file__, 1, message, None, None)
    screen = ScreenFilter()
    assert screen.filter(record)
    screen.has_tables = False
    assert not screen.filter(record)


def test_slow_steps_are_logged_whatever_the_interval(tmp_path, capfd, monkeypatch):
    options = {'default_hooks.logger.interval': 1000, 'train_cfg.max_epochs': 1, 'log_level': 'INFO'}
    cfg = digits_config(tmp_path / 'run', **options)
    cfg.default_hooks.slow_step = dict(type='SlowStepHook', seconds=0.0)
    monkeypatch.setattr(long_work, 'EVERY', 0.01)
    build_runner(cfg).train()
    printed = capfd.readouterr().out
    begins, _, steps = printed.partition('Epoch(train)')
    assert '    ... for ' in begins and '    ... for ' not in steps
    assert '[1][3/8]' in printed.replace(' ', '') and 'Epoch(val) [1][1/' in printed.replace('[ ', '[')


@pytest.mark.parametrize('is_terminal', [True, False])
def test_a_test_on_a_terminal_has_a_progress_bar(tmp_path, capfd, monkeypatch, is_terminal):
    cfg = digits_config(tmp_path / 'run', log_level='INFO', **{'default_hooks.logger.interval': 1})
    runner = build_runner(cfg)
    monkeypatch.setattr(sys.stdout, 'isatty', lambda: is_terminal)
    runner.test()
    printed = capfd.readouterr().out
    count = len(runner.test_dataloader)
    assert (f'>] {count}/{count}, ' in printed) == is_terminal
    assert ('eta: ' in printed) != is_terminal
    assert 'accuracy/top1: ' in printed
    assert 'eta: ' in next((tmp_path / 'run').glob('*/*.log')).read_text()
