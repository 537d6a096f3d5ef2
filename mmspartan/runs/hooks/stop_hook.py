"""A checkpoint of the current step when SIGTERM or Ctrl-C ends a training."""

import multiprocessing
import os
import shlex
import signal
import sys
import threading
import time
from typing import Any

import torch
from mmengine.dist import all_reduce, barrier, get_world_size, is_main_process
from mmengine.hooks import EMAHook, Hook
from mmengine.registry import HOOKS

from ..accumulation import accumulated_batches
from ..work_dir import latest_checkpoint
from .checkpoint_hook import SafeCheckpointHook


class EvaluationStopped(BaseException):
    """Ends an evaluation during training when a signal arrives."""


@HOOKS.register_module()
class StopOnSignalHook(Hook):
    """Finishes the current iteration, saves ``interrupted.pth``, prints how to resume and exits with 128 + the signal.

    An evaluation during the training is ended at once, and a resumed run repeats it. Before the first iteration there
    is nothing to save, and the process exits at once. A second Ctrl-C exits at once, too, unless it follows within
    ``repeated`` seconds: a terminal and torchrun both pass a single one on.

    Several processes stop after the same iteration. They exchange received signals after each iteration, on GPUs after
    every tenth one, since this waits for the device. With gradient accumulation they finish the optimizer step first.
    """

    priority = 'LOWEST'  # after all other hooks of an iteration, including those that save checkpoints
    interval_on_gpus = 10
    repeated = 3.0

    def __init__(self):
        self.signal = 0
        self.received_at = 0.0
        self.training = False  # whether there is something to save
        self.evaluating = False  # whether an exception may end the evaluation
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
        self._stop_between_iterations()

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        self.training = True

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        step, interval = runner.iter + 1, 1
        if get_world_size() > 1:  # each process has accumulated gradients of its own, which are not saved
            interval = accumulated_batches(runner.optim_wrapper) * (self.interval_on_gpus if on_gpus() else 1)
        if step % interval == 0:
            number = self._agree()
            if number:
                self._save_and_exit(number, runner.epoch, step)

    def after_train_epoch(self, runner: Any) -> None:
        number = self._agree()
        if number:
            self._save_and_exit(number, runner.epoch + 1, runner.iter)

    def before_val_epoch(self, runner: Any) -> None:
        self.evaluating = True  # the other hooks have exchanged the weights
        if self.signal:
            raise EvaluationStopped

    def after_val_epoch(self, runner: Any, metrics: dict[str, float]) -> None:
        self._stop_between_iterations()

    def after_train(self, runner: Any) -> None:
        self._stop_between_iterations()

    def _stop_between_iterations(self) -> None:
        number = self._agree() if self.training else 0
        if number:
            self._save_and_exit(number, self.runner.epoch, self.runner.iter)

    def evaluation_stopped(self) -> None:
        """Save the training whose evaluation a signal has ended, and exit."""
        for hook in self.runner.hooks:
            if isinstance(hook, EMAHook):
                hook.after_val_epoch(self.runner, {})  # exchanges the averaged weights for the trained ones
        self._save_and_exit(self.signal, self.runner.epoch, self.runner.iter, wait=False)

    def _save_and_exit(self, number: int, epoch: int, done: int, wait: bool = True) -> None:
        hook = next((hook for hook in self.runner.hooks if isinstance(hook, SafeCheckpointHook)), None)
        if hook is not None:
            hook.save_interrupted(self.runner, epoch, done)
        if wait:  # not after an evaluation, which the processes leave one by one
            barrier()
        self._print(number, done)
        sys.exit(128 + number)

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
        again = self.signal and number == signal.SIGINT and time.monotonic() > self.received_at + self.repeated
        if again or not self.training:
            self._print(number, self.runner.iter if self.runner.started else 0)
            for child in multiprocessing.active_children():
                child.kill()
            os._exit(128 + number)  # code that is running might catch SystemExit, as mmengine's formatting of configs
        if not self.signal:
            self.signal, self.received_at = number, time.monotonic()
        if self.evaluating:
            self.evaluating = False
            raise EvaluationStopped

    def _print(self, number: int, done: int) -> None:
        if is_main_process():
            path = latest_checkpoint(self.runner.work_dir)
            kept = f'Kept: {path}. Go on with: {command_to_go_on()}' if path else 'No checkpoint was saved yet.'
            name = signal.Signals(number).name
            when = f'after {done} iterations' if done else 'before the first iteration'
            print(f'\n{name}: stopped {when}. {kept}', file=sys.stderr)
        sys.stdout.flush()
        sys.stderr.flush()


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
