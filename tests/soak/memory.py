"""Thousands of training steps and of inferences, and by how much memory grows with each."""

import ctypes
import gc
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from mmengine.config import Config
from mmengine.hooks import Hook
from scipy.stats import theilslopes

from tests.conftest import DATA, run_script
from tests.runs.conftest import EXPERIMENTS

INTERVAL = 50  # steps between two looks


SMALL_OBJECT = 512  # bytes that a block of Python's allocator has at most


class Mallinfo(ctypes.Structure):
    """``struct mallinfo2`` of glibc."""

    _fields_ = [
        *((name, ctypes.c_size_t) for name in ('arena', 'ordblks', 'smblks', 'hblks', 'hblkhd')),
        *((name, ctypes.c_size_t) for name in ('usmblks', 'fsmblks', 'uordblks', 'fordblks', 'keepcost')),
    ]


def in_use() -> int:
    """Bytes that this process has allocated and not freed, at most.

    The resident size would not do: allocators take memory of the system by the megabyte, and give it back late.
    """
    gc.collect()
    mallinfo2 = ctypes.CDLL(None).mallinfo2
    mallinfo2.restype = Mallinfo
    info = mallinfo2()
    return info.uordblks + info.hblkhd + sys.getallocatedblocks() * SMALL_OBJECT


def slope(sizes: list[int]) -> float:
    """Bytes a step that memory grows by, in the second half of a run, when caches are full."""
    half = sizes[len(sizes) // 2 :]
    # the median of the slopes between any two, since single looks may see a checkpoint that is being written
    return float(theilslopes(half, np.arange(len(half)) * INTERVAL).slope)


class Watch(Hook):
    """Looks at the memory during a training."""

    def __init__(self, sizes: list[int], progress: Callable[[str], None]):
        self.sizes, self.progress = sizes, progress

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        if runner.iter % INTERVAL == 0:
            self.sizes.append(in_use())
            if runner.iter % 500 == 0:
                self.progress(f'step {runner.iter}: {self.sizes[-1] / 1e6:.1f} MB')


def grow(folder: Path, steps: int, progress: Callable[[str], None]) -> dict[str, float]:
    """Bytes a training step and bytes an inference of a small detector."""
    from mmspartan.commands.launch import build_runner

    tool = DATA.parents[1] / 'tools' / 'dataset_converters' / 'digits_to_coco.py'
    folder.mkdir(parents=True, exist_ok=True)
    run_script(tool, '--out', 'digits', '--train', 50, '--val', 2, '--size', 64, cwd=folder)
    cfg = Config.fromfile(DATA / 'rtdetr_quick.py')
    cfg.merge_from_dict(
        {
            'work_dir': str(folder / 'run'),
            'launcher': 'none',
            'experiment_name': f'memory_{next(EXPERIMENTS)}',
            'log_level': 'ERROR',
            'train_dataloader.batch_size': 1,
            'train_dataloader.dataset.data_root': str(folder / 'digits'),
            'val_dataloader.dataset.data_root': str(folder / 'digits'),
            'test_dataloader.dataset.data_root': str(folder / 'digits'),
            'val_evaluator.ann_file': str(folder / 'digits' / 'val.json'),
            'test_evaluator.ann_file': str(folder / 'digits' / 'val.json'),
            'train_cfg.max_epochs': steps // 50,
            'train_cfg.val_interval': steps,
            'default_hooks.checkpoint.interval': 10,
        }
    )
    runner, sizes = build_runner(cfg), {'training': [], 'inference': []}
    runner.register_hook(Watch(sizes['training'], progress))
    runner.train()
    batch = next(iter(runner.val_dataloader))
    model = runner.model.eval()
    for step in range(steps):
        model.test_step({key: list(value) for key, value in batch.items()})
        if step % INTERVAL == 0:
            sizes['inference'].append(in_use())
        if step % 500 == 0:
            progress(f'inference {step}: {sizes["inference"][-1] / 1e6:.1f} MB')
    return {name: slope(values) for name, values in sizes.items()}
