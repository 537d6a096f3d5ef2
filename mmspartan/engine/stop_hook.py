"""SIGTERM and Ctrl-C end a training with a checkpoint of the step that was in progress."""

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


@HOOKS.register_module()
class StopOnSignalHook(Hook):
    """Finishes the current iteration, saves ``interrupted.pth``, says how to go on and exits with 128 + the signal.

    Outside of iterations, while a model is built or evaluated, it exits at once: the checkpoint before the evaluation
    is on the disk, and the evaluation is made when the training is resumed. So does a second signal.

    Several processes agree on the iteration: they tell each other of signals after each one, on GPUs, where that waits
    for the device, after every tenth. With gradient accumulation the step is finished first.
    """

    priority = 'LOWEST'  # after what else happens in an iteration, checkpoints included
    interval_on_gpus = 10

    def __init__(self):
        self.signal = 0
        self.training = False
        self.handlers: dict[int, Any] = {}

    def before_train(self, runner: Any) -> None:
        self.runner = runner
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self.handlers[number] = signal.signal(number, self._receive)

    def after_train(self, runner: Any) -> None:
        self.restore()

    def restore(self) -> None:
        """Give signals back to the handlers that had them before the training."""
        for number, handler in self.handlers.items():
            signal.signal(number, handler)
        self.handlers = {}

    def before_train_epoch(self, runner: Any) -> None:
        self.training = True

    def after_train_epoch(self, runner: Any) -> None:
        self.training = False
        if self.signal:
            self._exit(self.signal, self._last_checkpoint(), self.runner.iter)

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        step = runner.iter + 1
        if step % getattr(runner.optim_wrapper, '_accumulative_counts', 1):
            return
        number = self._agree(step)
        if not number:
            return
        hook = next((hook for hook in runner.hooks if isinstance(hook, SafeCheckpointHook)), None)
        path = hook.save_interrupted(runner) if hook else self._last_checkpoint()
        barrier()
        self._exit(number, path, step)

    def _agree(self, step: int) -> int:
        if get_world_size() == 1:
            return self.signal
        on_gpu = torch.distributed.get_backend() == 'nccl'
        if on_gpu and step % self.interval_on_gpus:
            return 0
        number = torch.tensor(self.signal, device='cuda' if on_gpu else 'cpu')
        all_reduce(number, 'max')
        return int(number)

    def _receive(self, number: int, frame: Any) -> None:
        if multiprocess_child():
            return
        if self.training and not self.signal:
            self.signal = number
            return
        self._exit(number, self._last_checkpoint(), self.runner.iter)

    def _last_checkpoint(self) -> str | None:
        return self.runner.message_hub.runtime_info.get('last_ckpt')

    def _exit(self, number: int, path: str | None, done: int) -> None:
        if is_main_process():
            kept = f'Kept: {path}. Go on with: {command_to_go_on()}' if path else 'No checkpoint was saved yet.'
            print(
                f'\n{signal.Signals(number).name}: stopped after {done} iterations. {kept}', file=sys.stderr, flush=True
            )
        sys.exit(128 + number)


def multiprocess_child() -> bool:
    """Whether this is a data loader's worker that has inherited the handler."""
    return torch.utils.data.get_worker_info() is not None


def command_to_go_on() -> str:
    """The command line of this process, resumed; of several processes, that of ``dist_train.sh``."""
    script, *arguments = sys.argv
    skipped = ('--launcher', '--local_rank', '--local-rank', '--resume')
    arguments = [
        argument
        for before, argument in zip(['', *arguments], arguments)
        if before not in skipped[:3] and argument.split('=')[0] not in skipped and before != '--resume'
    ]
    arguments = [*arguments, '--resume']
    if os.environ.get('TORCHELASTIC_RUN_ID') is None:
        return shlex.join(['python', script, *arguments])
    script = os.path.join(os.path.dirname(script), 'dist_train.sh')
    return shlex.join([script, *arguments[:1], str(get_world_size()), *arguments[1:]])
