"""Several trainings at a time, each as a process of its own with one thread, as small networks are fastest."""

import os
import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from .configs import ROOT


@dataclass(frozen=True)
class Command:
    """A process.

    Args:
        name: What it is called in messages.
        words: Program and arguments.
        log: File for what it prints.
    """

    name: str
    words: Sequence[str]
    log: Path


def run_all(commands: Sequence[Command], jobs: int, say: Callable[[str], None]) -> list[Command]:
    """Run commands in their order, some at a time. One that fails does not stop the others.

    Args:
        commands: What to run.
        jobs: How many at a time.
        say: Called with a line for each command that ended.

    Returns:
        list[Command]: Those that failed.
    """
    failed, begun = [], time.monotonic()
    with ThreadPoolExecutor(jobs) as pool:
        running = {pool.submit(_run, command): command for command in commands}
        try:
            for i, future in enumerate(as_completed(running), 1):
                command, passed = running[future], time.monotonic() - begun
                left = passed / i * (len(commands) - i) / 60
                state = 'failed, see ' + str(command.log) if future.result() else 'done'
                say(f'{i}/{len(commands)} {command.name}: {state}; {passed / 60:.0f} min passed, about {left:.0f} left')
                failed += [command] if future.result() else []
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return failed


def _run(command: Command) -> int:
    command.log.parent.mkdir(parents=True, exist_ok=True)
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get('PYTHONPATH'))))  # for custom_imports of configs
    env = {**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': path}
    with open(command.log, 'w') as log:
        return subprocess.run(command.words, stdout=log, stderr=subprocess.STDOUT, env=env, check=False).returncode
