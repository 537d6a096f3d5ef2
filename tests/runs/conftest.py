"""Trainings of seconds, in this process."""

import copy
import itertools
import os
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook

from mmspartan.commands.launch import build_runner
from tests.conftest import DATA


class Killed(BaseException):
    """Ends a run where it stands, as a signal would that cannot be caught."""


class KillAt(Hook):
    """Ends the run when a stage of the Runner is reached for the n-th time, by a signal if a number is given."""

    priority = 'HIGHEST'

    def __init__(self, stage: str, n: int, number: int = 0):
        self.left = n

        def at(*args, **kwargs):
            self.left -= 1
            if self.left == 0 and not number:
                raise Killed(stage)
            if self.left == 0:
                os.kill(os.getpid(), number)

        setattr(self, stage, at)


EXPERIMENTS = itertools.count()  # a Runner's name has to be its own


def digits_config(work_dir: Path, **options: Any) -> Config:
    """SpaRTAN on 256 digits: two epochs of eight batches, each followed by an evaluation of 64 digits."""
    cfg = Config.fromfile(DATA / 'digits_quick.py')
    cfg.merge_from_dict(
        {
            'work_dir': str(work_dir),
            'experiment_name': f'{work_dir.name}_{next(EXPERIMENTS)}',
            'launcher': 'none',
            'train_dataloader.dataset.indices': 256,
            'val_dataloader.dataset.indices': 64,
            'test_dataloader.dataset.indices': 64,
            'train_cfg.max_epochs': 2,
            'default_hooks.logger.interval': 1,
            'log_level': 'ERROR',
            'custom_hooks': [dict(type='EMAHook', update_buffers=True, momentum=0.1)],
            **copy.deepcopy(options),
        }
    )
    return cfg


@pytest.fixture
def train(tmp_path) -> Callable[..., Path]:
    """Trains in a work dir below ``tmp_path``, from ``resume`` on.

    ``kill=(stage, n)`` ends the run there; with ``killed`` it has to end by :class:`Killed`.
    """

    def run(
        name: str = 'run',
        kill: tuple[str, int] | None = None,
        killed: bool = False,
        resume: str | None = None,
        **options: Any,
    ) -> Path:
        cfg = digits_config(tmp_path / name, **options)
        if resume is not None:
            cfg.load_from, cfg.resume = resume, True
        runner = build_runner(cfg)
        if kill is not None:
            runner.register_hook(KillAt(*kill))
        with pytest.raises(Killed) if kill or killed else nullcontext():
            runner.train()
        return tmp_path / name

    return run


# What tells two runs with the same result apart.
OF_ITS_OWN = ('time', 'data_time', 'eta', 'experiment_name', 'cfg', 'last_ckpt', 'best_ckpt', 'mmengine_version')

# The message hub has that of the last start or iteration, whichever was later; meta has the checkpoint's own.
STAND = ('.message_hub.runtime_info.epoch', '.message_hub.runtime_info.iter')


def differences(one: Any, other: Any, path: str = '') -> list[str]:
    """Places where two checkpoints differ, bit by bit."""
    if isinstance(one, torch.Tensor):
        return [] if one.shape == other.shape and torch.equal(one, other) else [path]
    if isinstance(one, dict):
        places = {key: f'{path}.{key}' for key in one if str(key).rpartition('/')[2] not in OF_ITS_OWN}
        missing = [f'{path}.{key}' for key in set(one) ^ set(other)]
        shared = {key: place for key, place in places.items() if key in other and place not in STAND}
        return missing + [found for key, place in shared.items() for found in differences(one[key], other[key], place)]
    if isinstance(one, list | tuple):
        return [
            place for i, pair in enumerate(zip(one, other, strict=True)) for place in differences(*pair, f'{path}[{i}]')
        ]
    return [] if one == other else [f'{path}: {one!r} {other!r}']


def same_result(one: Path, other: Path) -> bool:
    """Whether two work dirs hold the same checkpoints, bit by bit, and nothing else."""
    names = [sorted(path.name for path in folder.iterdir() if path.is_file()) for folder in (one, other)]
    assert names[0] == names[1]
    for path in one.glob('*.pth'):
        found = differences(*(torch.load(folder / path.name, weights_only=True) for folder in (one, other)))
        assert not found, f'{path.name}: {found[:5]}'
    return True
