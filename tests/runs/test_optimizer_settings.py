"""What a resumed training does with another learning rate, weight decay or schedule."""

import logging

import pytest
import torch

from mmspartan.errors import InputError

LR, DECAY = 'optim_wrapper.optimizer.lr', 'optim_wrapper.optimizer.weight_decay'


@pytest.fixture(scope='module')
def first_epoch(tmp_path_factory):
    """Checkpoint of one of two epochs."""
    from mmspartan.commands.launch import build_runner
    from tests.runs.conftest import digits_config

    folder = tmp_path_factory.mktemp('first')
    build_runner(digits_config(folder)).train()
    return str(folder / 'epoch_1.pth')


def settings(path) -> tuple[float, float, float]:
    """Learning rate, its base and weight decay of the first group in a checkpoint."""
    group = torch.load(path, weights_only=True)['optimizer']['param_groups'][0]
    return group['lr'], group['initial_lr'], group['weight_decay']


def messages(caplog) -> str:
    return '\n'.join(record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING)


@pytest.fixture
def caplog_of_runs(caplog, monkeypatch):
    monkeypatch.setattr('mmengine.logging.MMLogger.handle', lambda self, record: caplog.handler.emit(record))
    return caplog


def test_settings_without_effect_are_named_with_both_values(train, first_epoch, caplog_of_runs):
    kept = settings(first_epoch)
    folder = train('kept', resume=first_epoch, **{LR: 1e-5, DECAY: 0.7}, log_level='WARNING')
    text = messages(caplog_of_runs)
    assert f'{kept[1]:g} -> 1e-05' in text and f'{kept[2]:g} -> 0.7' in text and '--update-optimizer' in text
    assert settings(folder / 'epoch_2.pth')[1:] == kept[1:]


def test_settings_of_the_config_are_taken_on_request(train, first_epoch, caplog_of_runs):
    """The learning rate is where an unbroken training with these settings would be, and momenta are kept."""
    changed = {LR: 1e-5, DECAY: 0.7}
    whole = train('whole', **changed)
    options = dict(changed, update_optimizer=True, log_level='WARNING')
    folder = train('taken', resume=first_epoch, **options)
    assert settings(folder / 'epoch_2.pth') == pytest.approx(settings(whole / 'epoch_2.pth'))
    assert '-> 1e-05' in messages(caplog_of_runs)
    steps = torch.load(folder / 'epoch_2.pth', weights_only=True)['optimizer']['state'][0]['step']
    assert int(steps) == 16


def test_another_schedule_is_taken_on_request_only(train, first_epoch):
    schedule = {'param_scheduler': [dict(type='CosineAnnealingLR', eta_min=1e-6, T_max=16, by_epoch=False)]}
    whole = train('whole', **schedule)
    folder = train('taken', resume=first_epoch, update_optimizer=True, **schedule)
    assert settings(folder / 'epoch_2.pth') == pytest.approx(settings(whole / 'epoch_2.pth'))
    with pytest.raises(InputError, match=r'param_schedulers.*--update-optimizer'):
        train('kept', resume=first_epoch, param_scheduler=[])


def test_resumed_after_its_end_it_says_that_nothing_is_left(train, first_epoch, caplog_of_runs):
    train('ended', resume=first_epoch, log_level='WARNING', **{'train_cfg.max_epochs': 1})
    assert 'ended after 1 epochs' in messages(caplog_of_runs) and 'max_epochs=N' in messages(caplog_of_runs)
