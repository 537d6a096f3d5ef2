"""A checkpoint of the current step when SIGTERM or Ctrl-C ends a training."""

import os
import shlex
import signal
import sys
import threading
from typing import Any

import torch
from mmengine.dist import all_reduce, barrier, get_world_size, is_main_process
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from .checkpoint_hook import SafeCheckpointHook
from .work_dir import latest_checkpoint


@HOOKS.register_module()
class StopOnSignalHook(Hook):
    """Finishes the current iteration, saves ``interrupted.pth``, prints how to resume and exits with 128 + the signal.

    Outside of training iterations, while a model is built or evaluated, it exits at once: the checkpoint before the
    evaluation is on the disk, and a resumed run repeats the evaluation. A second Ctrl-C exits at once, too.

    Several processes stop after the same iteration. They exchange received signals after each iteration, on GPUs after
    every tenth one, since this waits for the device. With gradient accumulation the optimizer step is finished first.
    """

    priority = 'LOWEST'  # after all other hooks of an iteration, including those that save checkpoints
    interval_on_gpus = 10

    def __init__(self):
        self.signal = 0
        self.training = self.evaluating = False
        self.handlers: dict[int, Any] = {}

    def install(self, runner: Any) -> None:
        """Install handlers of SIGTERM and SIGINT; called before the training is built."""
        self.runner, self.process = runner, os.getpid()
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self.handlers[number] = signal.signal(number, self._receive)

    def restore(self) -> None:
        """Restore the signal handlers from before the training."""
        for number, handler in self.handlers.items():
            signal.signal(number, handler)
        self.handlers = {}

    def before_train_epoch(self, runner: Any) -> None:
        self.training = True

    def before_val_epoch(self, runner: Any) -> None:
        self.evaluating = True

    def after_val_epoch(self, runner: Any, metrics: dict[str, float]) -> None:
        self.evaluating = False

    def after_train_epoch(self, runner: Any) -> None:
        number = self._agree()
        if number:
            self._save_and_exit(number, runner.iter, by_epoch=True)
        self.training = False

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        step, accumulated = runner.iter + 1, getattr(runner.optim_wrapper, '_accumulative_counts', 1)
        interval = accumulated * (self.interval_on_gpus if get_world_size() > 1 and on_gpus() else 1)
        if step % interval == 0:
            number = self._agree()
            if number:
                self._save_and_exit(number, step, by_epoch=False)

    def _save_and_exit(self, number: int, done: int, by_epoch: bool) -> None:
        hook = next((hook for hook in self.runner.hooks if isinstance(hook, SafeCheckpointHook)), None)
        if hook is not None:
            hook.save_interrupted(self.runner, by_epoch)
        barrier()
        self._exit(number, done)

    def _agree(self) -> int:
        """Return the signal that any of the processes has received; 0 if none has."""
        if get_world_size() == 1:
            return self.signal
        number = torch.tensor(self.signal, device='cuda' if on_gpus() else 'cpu')
        all_reduce(number, 'max')
        return int(number)

    def _receive(self, number: int, frame: Any) -> None:
        if os.getpid() != self.process:  # a data loader's worker, which inherits the handlers when it is forked
            return
        # a scheduler's SIGTERM may arrive twice, from the scheduler and from torchrun
        if self.training and not self.evaluating and (not self.signal or number == signal.SIGTERM):
            self.signal = self.signal or number
            return
        self._exit(number, self.runner.iter if self.runner.started else 0)

    def _exit(self, number: int, done: int) -> None:
        if is_main_process():
            path = latest_checkpoint(self.runner.work_dir)
            kept = f'Kept: {path}. Go on with: {command_to_go_on()}' if path else 'No checkpoint was saved yet.'
            name = signal.Signals(number).name
            print(f'\n{name}: stopped after {done} iterations. {kept}', file=sys.stderr, flush=True)
        sys.exit(128 + number)


def on_gpus() -> bool:
    """Whether the processes communicate by NCCL."""
    return torch.distributed.get_backend() == 'nccl'


def command_to_go_on() -> str:
    """Return this process's command line with ``--resume``; of ``dist_train.sh`` if torchrun started it."""
    script, *given = sys.argv
    arguments: list[str] = []
    before = ''
    for argument in given:
        is_value = before in ('--launcher', '--local_rank', '--local-rank', '--resume') and not argument.startswith('-')
        if not is_value and argument.split('=')[0] not in ('--launcher', '--local_rank', '--local-rank', '--resume'):
            arguments.append(argument)
        before = '' if is_value else argument
    arguments = [*arguments, '--resume']
    if os.environ.get('TORCHELASTIC_RUN_ID') is None:
        return shlex.join(['python', script, *arguments])
    script = os.path.join(os.path.dirname(script), 'dist_train.sh')
    return shlex.join([script, *arguments[:1], str(get_world_size()), *arguments[1:]])
