"""Signals at random moments and at the worst ones; runs are resumed to their end and compared with an unbroken one.

SIGKILL ends a process, SIGTERM and SIGINT reach all processes of a run, and SIGKILL ends a single worker of a loader.
"""

import os
import random
import shutil
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mmengine.config import Config

from tests.conftest import DATA, make_digits
from tests.runs.conftest import differences, digits_config

# Where a process waits to be killed, so that it is hit: half of a checkpoint on the disk, in an evaluation, with the
# next best checkpoint written and the previous one not yet removed.
MOMENTS = ('any', 'write', 'evaluation', 'best')
HOW = ('kill', 'kill', 'TERM', 'INT', 'worker')
PAUSE = 0.3  # seconds that a process waits there


def few_digits(work_dir: Path, processes: int, **options: Any) -> Config:
    few = {'train_dataloader.batch_size': 32 // processes, 'train_dataloader.dataset.indices': 128}
    return digits_config(work_dir, **few, **options)


def detector(config: str, work_dir: Path, processes: int, **options: Any) -> Config:
    """A detector on eight scenes, which are made beside the work dir."""
    root = work_dir.parent
    if not (root / 'digits').exists():
        make_digits(root, 8, 2)
    cfg = Config.fromfile(DATA / config)
    few = {'work_dir': str(work_dir), 'train_cfg.max_epochs': 2, 'log_level': 'ERROR'}
    few |= {f'{split}_dataloader.dataset.data_root': f'{root}/digits/' for split in ('train', 'val', 'test')}
    few |= {f'{split}_evaluator.ann_file': f'{root}/digits/val.json' for split in ('val', 'test')}
    cfg.merge_from_dict({**few, 'train_dataloader.batch_size': 4 // processes, **options})
    return cfg


@dataclass
class Training:
    """What is trained: by a number of processes, on a config with settings, by dotted names."""

    processes: int = 1
    make_config: Callable[..., Config] = few_digits
    options: dict[str, Any] = field(default_factory=dict)

    def with_some_workers(self, rng: random.Random) -> 'Training':
        """With a number of data loading processes, which a resumed run may change."""
        count = rng.choice([0, 1, 1, 2])
        workers = {'train_dataloader.num_workers': count, 'train_dataloader.persistent_workers': count > 0}
        return replace(self, options={**self.options, **workers})


def kill_runs(work_dir: Path, training: Training, count: int, seed: str, progress: Callable[[str], None]) -> Counter:
    """Kill ``count`` times, several times in one training now and then; each start has another number of workers.

    Args:
        work_dir: Folder for the runs.
        training: Of each run.
        count: Kills.
        seed: Of the moments.
        progress: Called with a line after each run.

    Returns:
        Counter: ``kills``, ``runs``, ``resumed`` (runs that came to their end), ``equal`` (bit by bit as the unbroken
        run), ``leftovers`` (files that an unbroken run does not have), ``statuses`` (wrong
        ones after SIGTERM or SIGINT), and the kills of each way in ``HOW``.
    """
    rng, figures = random.Random(seed), Counter()
    start = time.monotonic()
    whole = work_dir / 'unbroken'
    assert run(whole, training, 'any', None), (whole / 'output.txt').read_text()[-2000:]
    duration = time.monotonic() - start
    while figures['kills'] < count:
        folder = work_dir / f'run_{figures["runs"]}'
        for _ in range(rng.choice([1, 1, 2, 3])):
            moment, how = rng.choice(MOMENTS), rng.choice(HOW)
            seconds = rng.uniform(0, duration)
            ended = run(folder, training.with_some_workers(rng), moment, seconds, how, figures)
            figures['kills'] += not ended
            figures[how] += not ended
        figures['runs'] += 1
        resumed = run(folder, training.with_some_workers(rng), 'any', None)
        figures['resumed'] += resumed
        same, more = compare(folder, whole) if resumed else (False, [])
        figures['equal'] += same
        figures['leftovers'] += len(more)
        progress(
            f'{figures["kills"]:4} kills, {figures["resumed"]} of {figures["runs"]} resumed, {figures["equal"]} equal'
        )
        if same and not more:
            shutil.rmtree(folder)
    return figures


def compare(folder: Path, whole: Path) -> tuple[bool, list[str]]:
    """Whether the checkpoints are the same bit by bit, and the names of files that only one of the folders has."""
    import torch

    names = [{path.name for path in each.iterdir() if path.is_file()} for each in (folder, whole)]
    pairs = [
        [torch.load(each / name) for each in (folder, whole)] for name in names[0] & names[1] if name.endswith('.pth')
    ]
    return not any(differences(*pair) for pair in pairs), sorted(names[0] ^ names[1])


def run(
    work_dir: Path,
    training: Training,
    moment: str,
    seconds: float | None,
    how: str = 'kill',
    figures: Counter | None = None,
) -> bool:
    """Train, from the last checkpoint on, killed after some seconds or at a moment; whether it came to its end."""
    work_dir.mkdir(parents=True, exist_ok=True)
    mark = work_dir.with_suffix('.mark')
    mark.unlink(missing_ok=True)
    port = free_port()
    children = [os.fork() or train(work_dir, rank, port, training, moment, mark) for rank in range(training.processes)]
    end = time.monotonic() + (120 if seconds is None or moment != 'any' else seconds)
    left, status = set(children), {}
    while left and time.monotonic() < end and not (seconds is not None and moment != 'any' and mark.exists()):
        for child in list(left):
            found, code = os.waitpid(child, os.WNOHANG)
            if found:
                left.discard(child)
                status[child] = code
        time.sleep(0.005)
    wrong = end_by(how, sorted(left))
    if figures is not None:
        figures['statuses'] += wrong
    return not left and not any(status.values())


def end_by(how: str, children: list[int]) -> int:
    """End processes and their workers; returns the number of wrong exit statuses after SIGTERM and SIGINT."""
    number = dict(TERM=signal.SIGTERM, INT=signal.SIGINT).get(how)
    for child in children:
        workers = Path(f'/proc/{child}/task/{child}/children').read_text().split()
        if number:
            os.killpg(child, number)
        elif how == 'worker' and workers:
            os.kill(int(workers[0]), signal.SIGKILL)
    patience, wrong = time.monotonic() + (60 if number else 5 if how == 'worker' else 0), 0
    for child in children:
        found, status = os.waitpid(child, os.WNOHANG)
        while not found and time.monotonic() < patience:
            time.sleep(0.02)
            found, status = os.waitpid(child, os.WNOHANG)
        if not found:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        # before the handlers are installed, the signal itself ends a process
        right = found and os.waitstatus_to_exitcode(status) in (0, -(number or 0), 128 + (number or 0))
        wrong += bool(number) and not right
    return wrong


def free_port() -> int:
    with socket.socket() as found:
        found.bind(('127.0.0.1', 0))
        return found.getsockname()[1]


def train(work_dir: Path, rank: int, port: int, training: Training, moment: str, mark: Path) -> None:
    """In a child: train, resumed, and exit."""
    code = 1
    try:
        os.setpgid(0, 0)
        output = os.open(work_dir / 'output.txt', os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(training.processes))
        os.environ.update(MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port))
        wait_at(moment, mark)
        train_here(work_dir, training)
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    except KeyboardInterrupt:  # before the handlers are installed
        code = 128 + signal.SIGINT
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def train_here(work_dir: Path, training: Training) -> None:
    from mmspartan.commands.command import command
    from mmspartan.commands.launch import build_runner
    from mmspartan.runs.work_dir import latest_checkpoint

    workers = {
        f'{split}_dataloader.{name}': value
        for split in ('train', 'val')
        for name, value in (('num_workers', 1), ('persistent_workers', True))
    }
    cfg = training.make_config(work_dir, training.processes, **{**workers, **training.options})
    cfg.launcher = 'pytorch' if training.processes > 1 else 'none'
    cfg.load_from = latest_checkpoint(work_dir)
    cfg.resume = cfg.load_from is not None
    with command():
        build_runner(cfg).train()
    (work_dir / 'output.txt').unlink(missing_ok=True)


def wait_at(moment: str, mark: Path) -> None:
    """Make this process say that it is at the moment, and wait there."""
    from mmengine.fileio import LocalBackend
    from mmengine.runner import ValLoop

    from mmspartan.runs.hooks.checkpoint_hook import SafeCheckpointHook

    def pause(*args, **kwargs) -> None:
        mark.touch()
        time.sleep(PAUSE)

    def before(owner: type, name: str, condition: Callable[..., bool] = lambda *args: True) -> None:
        original = getattr(owner, name)

        def paused(*args, **kwargs):
            if condition(*args):
                pause()
            return original(*args, **kwargs)

        setattr(owner, name, paused)

    if moment == 'evaluation':
        before(ValLoop, 'run_iter')
    elif moment == 'best':
        before(SafeCheckpointHook, '_remove', lambda self, path: 'best' in path and os.path.exists(path))
    elif moment == 'write':
        put = LocalBackend.put

        def put_in_two(self, obj, filepath):
            put(self, obj[: len(obj) // 2], filepath)
            pause()
            put(self, obj, filepath)

        LocalBackend.put = put_in_two
