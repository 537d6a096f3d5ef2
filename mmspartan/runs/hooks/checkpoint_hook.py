"""A checkpoint hook that removes an old checkpoint only after the new one is on the disk."""

import math
import re
from collections import deque
from pathlib import Path
from string import Formatter
from typing import Any

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook
from mmengine.registry import HOOKS

from ...checkpoints.checkpoint import AtomicLocalBackend, check_weights_sound, names_of_weights, state_dict_of
from ...checkpoints.plain_state import to_plain
from ...checkpoints.run_state import RunState
from ...errors import InputError
from ..work_dir import latest_checkpoint, remove_partial_files
from .finite_hook import NonFiniteError

INTERRUPTED = 'interrupted.pth'


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """mmengine's ``CheckpointHook``, which writes a checkpoint before it removes an old one. Takes the same arguments.

    mmengine removes the oldest checkpoint and the previous best one first, so that a run killed at this moment loses
    them. Further differences:

    * The Runner's state is converted to tensors and plain containers, which ``torch.load`` reads weights-only.
    * Weights that are not finite are not saved, and a score that is not finite never becomes the best one.
    * Files are written by the backend ``atomic_local`` unless ``backend_args`` names another one.
    """

    keep_ckpt_ids: deque[int]

    def __init__(self, *args, backend_args: dict | None = None, **kwargs):
        if kwargs.get('file_client_args') is None:
            backend_args = backend_args or dict(backend='atomic_local')
        super().__init__(*args, backend_args=backend_args, **kwargs)
        if self.args:  # mmengine hands them to a method that has no further arguments, after the first epoch
            raise TypeError(f'SafeCheckpointHook: got an unexpected keyword argument {next(iter(self.args))!r}')
        self._previous_best: dict[str, str | None] = {}  # set while the next best one is being written

    def before_train(self, runner: Any) -> None:
        super().before_train(runner)
        # the work dir may be a copy: use the best checkpoint inside it, and never remove that of the original work dir
        for key, path in self._best().items():
            self._set_best(key, path and self._inside(path))
        last = runner.message_hub.runtime_info.get('last_ckpt')
        self.last_ckpt = last and self._inside(last)
        if is_main_process() and Path(self.out_dir).is_dir():
            remove_partial_files(self.out_dir)
        self._remove_outdated(runner)

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Convert the Runner's state to plain containers; raises NonFiniteError if weights are not finite."""
        names = names_of_weights(runner.model)
        for name in ('state_dict', 'ema_state_dict'):
            weights = state_dict_of(checkpoint.get(name, {}), name)
            try:
                check_weights_sound({key: value for key, value in weights.items() if key in names}, name)
            except InputError as error:
                last = latest_checkpoint(runner.work_dir) or 'none yet'
                raise NonFiniteError(f'no checkpoint is saved, since {error}. The last one is {last}') from None
        for name in ('meta', 'message_hub'):
            checkpoint[name] = to_plain(checkpoint[name])

    def after_val_epoch(self, runner: Any, metrics: dict[str, float]) -> None:
        RunState(evaluated_iter=runner.iter).note(runner.message_hub)
        if not self.save_best:
            return
        finite = {key: value for key, value in metrics.items() if not _is_not_finite(value)}
        watched = list(metrics)[:1] if 'auto' in self.key_indicators else self.key_indicators
        for key in set(metrics) & set(watched) - set(finite):
            runner.logger.warning(f'{key} is {metrics[key]}: ignored for the best score')
        unknown = [key for key in watched if key not in metrics]
        if metrics and unknown:
            raise InputError(
                f'default_hooks.checkpoint.save_best={unknown[0]!r}: no such metric; there are {", ".join(metrics)}'
            )
        if all(key in finite for key in watched):
            super().after_val_epoch(runner, metrics)

    def after_train(self, runner: Any) -> None:
        super().after_train(runner)
        if self.save_last and self.last_ckpt and self.file_backend.isfile(self.last_ckpt):
            self._write_last_checkpoint(runner, self.last_ckpt)
            self._remove(self._inside(INTERRUPTED))  # of a run that was resumed in its last evaluation

    def save_interrupted(self, runner: Any, epoch: int, iteration: int) -> str:
        """Save the state after a number of epochs and iterations, and return the path of the file."""
        path, position = self._inside(INTERRUPTED), dict(epoch=epoch, iter=iteration)
        runner.save_checkpoint(self.out_dir, INTERRUPTED, meta=position, backend_args=self.backend_args)
        self._write_last_checkpoint(runner, path)
        return path

    def _inside(self, path: str) -> str:
        return self.file_backend.join_path(self.out_dir, Path(path).name)

    @property
    def best_path(self) -> str | None:
        """Path of the best checkpoint so far, by the first metric; None if there is none."""
        return next(iter(self._best().values()), None)

    def best_score(self, runner: Any) -> float | None:
        """Return the score of the checkpoint at :attr:`best_path`; None if there is none."""
        key = next(iter(self._best()), '')
        return runner.message_hub.get_info(f'best_score_{key}' if key else 'best_score')

    def _best(self) -> dict[str, str | None]:
        """Return the path of each metric's best checkpoint.

        mmengine stores the path in one attribute for a single metric, and in another one for several metrics.
        """
        if not self.save_best:
            return {}
        return {'': self.best_ckpt_path} if len(self.key_indicators) == 1 else dict(self.best_ckpt_path_dict)

    def _set_best(self, key: str, path: str | None) -> None:
        if key:
            self.best_ckpt_path_dict[key] = path
        else:
            self.best_ckpt_path = path

    def _remove_outdated(self, runner: Any) -> None:
        """Remove the files that the message hub lists as outdated; checkpoints save this list.

        Whatever a checkpoint lists, only files with names that this hook generates are removed.
        """
        info = runner.message_hub.runtime_info
        best = [path for key, path in info.items() if key.startswith('best_ckpt')]
        best += [*self._best().values(), *self._previous_best.values()]
        replaced = self._replaced()
        kept = {Path(path).name for path in best if isinstance(path, str) and path not in replaced}
        kept |= set(self._kept_names())
        parts = Formatter().parse(self.filename_tmpl)
        number = ''.join(re.escape(text) + (r'\d+' if field is not None else '') for text, field, *_ in parts)
        outdated = info.get(self._outdated_key, [])
        for path in outdated if isinstance(outdated, list) else []:
            name = Path(str(path)).name
            if name not in kept and re.fullmatch(f'(best_.+_)?{number}', name):
                self._remove(self._inside(name))

    @property
    def _outdated_key(self) -> str:
        return f'outdated_checkpoints/{self.filename_tmpl}'  # each hook keeps its own list

    def _replaced(self) -> list[str]:
        """Return the previous best checkpoints that a better one replaces, while that one is being saved."""
        now = self._best()
        return [path for key, path in self._previous_best.items() if path and now.get(key) not in (None, path)]

    def _kept_names(self) -> list[str]:
        return [self.filename_tmpl.format(n) for n in getattr(self, 'keep_ckpt_ids', ())]

    def _write_last_checkpoint(self, runner: Any, path: str) -> None:
        if is_main_process():
            AtomicLocalBackend().put_text(path, Path(runner.work_dir, 'last_checkpoint'))

    def _remove(self, path: str) -> None:
        if is_main_process() and self.file_backend.isfile(path):
            self.file_backend.remove(path)

    def _save_checkpoint_with_step(self, runner: Any, step: int, meta: dict) -> None:
        """Save as mmengine does, but write the checkpoint and ``last_checkpoint`` before the oldest one is removed."""
        self._mark_outdated(runner, self._replaced())
        if self.max_keep_ckpts > 0:
            before = self._kept_names()
            self.keep_ckpt_ids = deque([*(n for n in self.keep_ckpt_ids if n != step), step], self.max_keep_ckpts)
            outdated = [name for name in before if name not in self._kept_names()]
            runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
            self._mark_outdated(runner, outdated)
        name = self.filename_tmpl.format(step)
        self.last_ckpt = self._inside(name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir,
            name,
            self.file_client_args,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        self._write_last_checkpoint(runner, self.last_ckpt)
        self._remove_outdated(runner)
        self._remove(self._inside(INTERRUPTED))

    def _mark_outdated(self, runner: Any, paths: list[str]) -> None:
        names = [Path(path).name for path in paths]
        known = runner.message_hub.runtime_info.get(self._outdated_key, [])
        existing = [name for name in known if name not in names and self.file_backend.exists(self._inside(name))]
        runner.message_hub.update_info(self._outdated_key, [*existing, *names])

    def _save_best_checkpoint(self, runner: Any, metrics: dict) -> None:
        """Save as mmengine does, but hide the previous best checkpoint from it, which it would remove first."""
        before = self._previous_best = self._best()
        for key in before:
            self._set_best(key, None)
        super()._save_best_checkpoint(runner, metrics)
        for key, path in before.items():
            if self._best()[key] is None:  # not better
                self._set_best(key, path)
        self._mark_outdated(runner, self._replaced())
        self._remove_outdated(runner)
        self._previous_best = {}


def _is_not_finite(value: Any) -> bool:
    if isinstance(value, torch.Tensor):
        return value.numel() == 1 and not bool(value.isfinite())
    try:
        return not math.isfinite(value)
    except TypeError:
        return False
