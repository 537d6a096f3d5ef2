"""The last stage begins with the best checkpoint so far, also after a resume, in each process."""

import re
import shutil

import pytest
import torch
from mmengine.hooks import EMAHook, Hook
from mmengine.registry import HOOKS

from mmspartan.commands.launch import build_runner
from tests.runs.conftest import digits_config

SCORES = (90.0, 70.0, 80.0, 85.0)  # of the epochs


@HOOKS.register_module()
class GivenScores(Hook):
    """Replaces the scores, and keeps weights and averages at the end of each evaluation and the start of each epoch."""

    priority = 'LOW'  # after the averages have their place again, before checkpoints

    def __init__(self):
        self.evaluated, self.started = {}, {}

    def weights(self, runner) -> tuple[torch.Tensor, torch.Tensor]:
        average = next(hook.ema_model.module for hook in runner.hooks if isinstance(hook, EMAHook))
        return tuple(
            torch.cat([p.detach().clone().flatten() for p in model.parameters()]) for model in (runner.model, average)
        )

    def after_val_epoch(self, runner, metrics):
        metrics['accuracy/top1'] = SCORES[runner.epoch - 1]
        self.evaluated[runner.epoch] = self.weights(runner)

    def before_train_epoch(self, runner):
        self.started[runner.epoch] = self.weights(runner)


def run(folder, resume: str | None = None, **options) -> GivenScores:
    """Train four epochs, the last two of them a stage that begins with the best checkpoint."""
    cfg = digits_config(folder, **{'train_cfg.max_epochs': 4, 'train_dataloader.dataset.indices': 64, **options})
    cfg.custom_hooks += [
        dict(type='FinalStageHook', final_epochs=2, pipeline=cfg.train_dataloader.dataset.pipeline, from_best=True),
        dict(type='GivenScores'),
    ]
    cfg.default_hooks.checkpoint.max_keep_ckpts = -1
    if resume:
        cfg.load_from, cfg.resume = resume, True
    runner = build_runner(cfg)
    runner.train()
    return next(hook for hook in runner.hooks if isinstance(hook, GivenScores))


def test_last_stage_begins_with_the_best_weights_and_averages_also_after_a_resume(tmp_path):
    found = run(tmp_path / 'unbroken')
    for kind in (0, 1):  # weights, averages
        assert torch.equal(found.started[2][kind], found.evaluated[1][kind])
        assert not torch.equal(found.started[2][kind], found.evaluated[2][kind])
    assert not torch.equal(*found.started[2])
    for done in (2, 3):  # in front of the last stage, and within it, which has left these weights
        again = run(
            tmp_path / f'resumed_{done}', resume=copied(tmp_path / 'unbroken', done, tmp_path / f'resumed_{done}')
        )
        assert min(again.started) == done
        assert all(torch.equal(*pair) for pair in zip(again.started[3], found.started[3]))
    folder = tmp_path / 'with_smaller_batches'  # an epoch has more of them
    other = run(folder, resume=copied(tmp_path / 'unbroken', 2, folder), **{'train_dataloader.batch_size': 8})
    assert all(torch.equal(*pair) for pair in zip(other.started[2], found.started[2]))


def copied(source, epoch: int, folder) -> str:
    """Copy the best checkpoint and that of an epoch, and return the path of the second."""
    folder.mkdir()
    for name in ('best_accuracy_top1_epoch_1.pth', f'epoch_{epoch}.pth'):
        path = shutil.copy(source / name, folder / name)
    return str(path)


@pytest.mark.parametrize(('save_best', 'scores'), [(None, SCORES), ('auto', (0.0, 0.0, 0.0, 0.0))])
def test_without_a_best_checkpoint_a_warning_says_so_and_the_training_goes_on(save_best, scores, tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), 'SCORES', scores)
    found = run(tmp_path / 'run', **{'default_hooks.checkpoint.save_best': save_best, 'log_level': 'WARNING'})
    assert torch.equal(found.started[2][0], found.evaluated[2][0])
    log = next((tmp_path / 'run').rglob('*.log')).read_text()
    name = 'best_accuracy_top1_epoch_1.pth' if save_best else 'nothing saved yet'
    assert re.search(rf'should begin with the best checkpoint, but there is none .*{name}\)', log)


RANKS = """
from types import SimpleNamespace
import torch
from mmengine.dist import get_rank
from mmengine.hooks import EMAHook
from mmengine.logging import MessageHub
from mmspartan.runs.hooks.best_weights import load_best
from mmspartan.runs.hooks.checkpoint_hook import SafeCheckpointHook

torch.distributed.init_process_group('gloo')
rank = get_rank()
torch.manual_seed(rank)
model = torch.nn.BatchNorm1d(2)
ema = EMAHook(update_buffers=True)
hub = MessageHub.get_current_instance()
runner = SimpleNamespace(model=model, message_hub=hub, logger=SimpleNamespace(info=print, warning=None))
ema.before_run(runner)
weights = {name: torch.full_like(value, 3) for name, value in model.state_dict().items()}
averages = {'steps': torch.tensor(7), **{f'module.{name}': value + 1 for name, value in weights.items()}}
path = FOLDER + f'/best_{rank}.pth'
if rank == 0:  # the other process has no such file
    torch.save(dict(state_dict=weights, ema_state_dict=averages), path)
hook = SafeCheckpointHook(save_best='a', rule='greater')
hook.best_ckpt_path = path
runner.hooks = [hook, ema]
load_best(runner)
assert model.weight.tolist() == [4, 4] and int(model.num_batches_tracked) == 4  # what was the average in the file
assert ema.ema_model.module.weight.tolist() == [3, 3] and int(ema.ema_model.steps) == 7
"""


def test_each_process_has_the_weights_that_the_main_process_reads(two_processes, tmp_path):
    two_processes(RANKS.replace('FOLDER', repr(str(tmp_path))))
