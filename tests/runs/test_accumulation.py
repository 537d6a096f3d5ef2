"""Accumulated gradients: in checkpoints between two steps, and in the batch that the learning rate is scaled for."""

import os
import signal
from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import Hook

from mmspartan.commands.launch import build_runner
from mmspartan.errors import InputError
from mmspartan.runs.accumulation import GRADIENTS, AccumulatedGradientsHook, scaled_for_accumulation
from tests.runs.conftest import digits_config, same_result

THREE = {'optim_wrapper.accumulative_counts': 3, 'train_cfg.max_epochs': 3}  # epochs of eight batches


def test_killed_between_two_steps_and_resumed_ends_as_an_unbroken_run(train):
    whole = train('whole', **THREE)
    assert GRADIENTS in torch.load(whole / 'epoch_1.pth', weights_only=True)
    assert GRADIENTS not in torch.load(whole / 'epoch_3.pth', weights_only=True)  # the last step takes what is there
    broken = train('broken', kill=('after_train_iter', 12), **THREE)
    train('broken', resume=str(broken / 'epoch_1.pth'), **THREE)
    assert same_result(whole, broken)
    content = torch.load(whole / 'epoch_1.pth', weights_only=True)
    name, gradient = next(iter(content[GRADIENTS].items()))
    content[GRADIENTS][name] = gradient.flatten()[:1]
    torch.save(content, whole / 'odd.pth')
    with pytest.raises(InputError, match=rf'odd\.pth: .*{name}'):
        train('odd', resume=str(whole / 'odd.pth'), **THREE)


def test_a_signal_does_not_wait_for_the_step_of_the_optimizer(train, tmp_path):
    """Workers of a data loader do not outlive a signal for ever."""
    eight = {'optim_wrapper.accumulative_counts': 8, 'train_dataloader.num_workers': 1}

    class SignalAfter(Hook):
        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            if runner.iter == 2:
                os.kill(os.getpid(), signal.SIGTERM)

    runner = build_runner(digits_config(tmp_path / 'ended', **eight))
    runner.register_hook(SignalAfter())
    with pytest.raises(SystemExit) as ended:
        runner.train()
    content = torch.load(tmp_path / 'ended' / 'interrupted.pth', weights_only=True)
    assert ended.value.code == 143 and content['meta']['iter'] == 3 and GRADIENTS in content
    train('ended', resume=str(tmp_path / 'ended' / 'interrupted.pth'), **eight)
    assert same_result(train('whole', **eight), tmp_path / 'ended')


def test_gradients_that_are_not_finite_are_restored():
    """Under mixed precision they are common, and the scaler leaves out their step."""
    model = torch.nn.Linear(2, 1)
    gradient = torch.tensor([[torch.inf, 1.0]])
    runner = SimpleNamespace(model=model, _resuming=True)
    AccumulatedGradientsHook().after_load_checkpoint(runner, {GRADIENTS: {'weight': gradient}})
    assert torch.equal(model.weight.grad, gradient)


def test_learning_rate_is_scaled_for_all_images_of_a_step(train):
    def rate(name, **options):
        folder = train(name, **{'auto_scale_lr': dict(enable=True, base_batch_size=64), **options})
        optimizer = torch.load(folder / 'epoch_2.pth', weights_only=True)['optimizer']
        rates = optimizer['param_groups'][0]['initial_lr'], optimizer['base_param_settings']['initial_lr']
        assert rates[0] == rates[1]  # the log's base_lr
        return rates[0]

    eight = {'train_dataloader.batch_size': 8, 'optim_wrapper.accumulative_counts': 4}
    assert rate('accumulated', **eight) == pytest.approx(rate('at once', **{'train_dataloader.batch_size': 32}))
    assert scaled_for_accumulation(None, None) is None
