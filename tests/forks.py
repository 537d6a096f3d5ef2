"""Python scripts in processes of their own, forked from a server that has imported torch and OpenMMLab.

The imports take longer than most of these scripts. ``tests/tools/test_digits.py`` and ``test_arguments.py`` run scripts
by the interpreter itself, as tests must do of what torch reads when it is imported, and of what a script has to import.
"""

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.robustness.children import exit_code

ROOT = Path(__file__).parents[1]
CONTEXT = multiprocessing.get_context('forkserver')
# The server must not compute: a fork has only the thread that forked.
CONTEXT.set_forkserver_preload(
    ['pytest', 'mmdet.apis', 'mmpretrain', 'mmspartan.benchmark.workers', 'mmspartan.commands.launch', 'onnxruntime']
)


class Fork:
    """A started script, in a process group of its own; it sees no GPU.

    Args:
        command: The script's path and its arguments.
        cwd: Its working directory.
        environment: Variables that it has besides those of this process.
    """

    def __init__(self, *command: object, cwd: Path, **environment: object):
        self.command, self._folder = [*map(str, command)], tempfile.TemporaryDirectory()
        self._output = [f'{self._folder.name}/{name}' for name in ('stdout', 'stderr')]
        added = {name: str(value) for name, value in environment.items()}
        variables = {**os.environ, 'CUDA_VISIBLE_DEVICES': '', **added}
        self.process = CONTEXT.Process(target=_run, args=(self.command, str(cwd), variables, self._output))
        self.process.start()

    def printed(self) -> list[str]:
        """What it has printed so far to its standard output and its standard error."""
        return [Path(path).read_text(errors='replace') if Path(path).exists() else '' for path in self._output]

    def end(self, timeout: float = 240) -> subprocess.CompletedProcess:
        """Wait for its end.

        Raises:
            subprocess.TimeoutExpired: If it has not ended after ``timeout`` seconds; it is killed then.
        """
        self.process.join(timeout)
        if self.process.exitcode is None:
            os.killpg(self.process.pid, signal.SIGKILL)  # and what it started
            self.process.join()
            raise subprocess.TimeoutExpired(self.command, timeout)
        with self._folder:
            return subprocess.CompletedProcess(self.command, self.process.exitcode, *self.printed())


def _run(command: list[str], cwd: str, variables: dict[str, str], output: list[str]) -> None:
    os.setsid()
    for number, path in enumerate(output, start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(variables)
    sys.argv = command
    sys.path[:0] = [str(Path(command[0]).parent), str(ROOT)]
    code = exit_code(lambda: runpy.run_path(command[0], run_name='__main__'))
    sys.stdout.flush()
    os._exit(code)  # multiprocessing would wait for the workers of data loaders, which end when they miss their parent
