"""Tools as their users start them, in processes forked from one that has imported everything: half a second each."""

import gc
import importlib
import os
import resource
import runpy
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

TOOLS = Path(__file__).parents[2] / 'tools'
MODULES = (
    *('mmdet.apis', 'mmdet.engine.hooks', 'mmdet.visualization', 'mmpretrain', 'onnx', 'onnxruntime', 'openvino'),
    *('safetensors.torch', 'sklearn.datasets', 'torch._dynamo', 'torch.onnx', 'matplotlib.backends.backend_agg'),
    *('mmspartan.datasets.digits', 'mmspartan.deploy.evaluation'),
)
MEMORY = 12 << 30  # bytes of address space, so that a runaway child does not take the machine along


@dataclass
class Ended:
    """How a child ended: its exit code, or the signal, or that its time was up; and all that it printed."""

    code: int | None
    signal: int | None
    timed_out: bool
    output: str
    seconds: float


def import_everything() -> None:
    """What the tools import, in this process, which must not compute: a fork has only the thread that forked."""
    for name in MODULES:
        importlib.import_module(name)
    importlib.import_module('torch').set_num_threads(1)
    gc.freeze()  # or each of the children's collections goes through all of this


def run_child(work: Callable[[], None], folder: Path, timeout: float) -> Ended:
    """Run a function in a forked process whose working directory is ``folder``; it may end by ``sys.exit``."""
    output, start = folder / 'output.txt', time.monotonic()
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        _be_child(work, folder, output)
    status, timed_out = _wait(pid, start + timeout)
    code = os.waitstatus_to_exitcode(status)
    return Ended(
        code=code if code >= 0 else None,
        signal=-code if code < 0 and not timed_out else None,
        timed_out=timed_out,
        output=output.read_text(errors='replace') if output.exists() else '',
        seconds=time.monotonic() - start,
    )


def _wait(pid: int, deadline: float) -> tuple[int, bool]:
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return status, False
        time.sleep(0.01)
    os.killpg(pid, signal.SIGKILL)
    return os.waitpid(pid, 0)[1], True


def _be_child(work: Callable[[], None], folder: Path, output: Path) -> None:
    """Never returns: ends the process as the interpreter would, without what the parent has registered for its end."""
    code = 1
    try:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.chdir(folder)
        file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(file, 2)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        code = exit_code(work)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def exit_code(work: Callable[[], object]) -> int:
    """Do some work as an interpreter does a script's; returns the exit code."""
    sys.stdout = open(1, 'w', closefd=False)  # noqa: SIM115 - the parent's may hold text, or belong to pytest
    sys.stderr = open(2, 'w', closefd=False, buffering=1, errors='backslashreplace')  # noqa: SIM115
    try:
        work()
    except SystemExit as error:
        sys.stdout.flush()
        if error.code is None or isinstance(error.code, int):
            return error.code or 0
        print(error.code, file=sys.stderr)
        return 1
    except BaseException:
        sys.stdout.flush()
        traceback.print_exc()
        return 1
    return 0


def run_main(tool: str, args: list[str]) -> None:
    """A tool's ``main()``, in this process."""
    sys.argv = [str(TOOLS / tool), *args]
    sys.path.insert(0, str((TOOLS / tool).parent))
    runpy.run_path(sys.argv[0], run_name='__main__')


def run_tool(argv: list[str], folder: Path, timeout: float = 60, then: Callable[[], None] = lambda: None) -> Ended:
    """Run a tool in a child, and ``then`` if it succeeded.

    Args:
        argv: The script below ``tools/`` and its arguments.
    """

    def work() -> None:
        code = exit_code(lambda: run_main(argv[0], argv[1:]))
        if code:
            sys.exit(code)
        then()

    return run_child(work, folder, timeout)


def copy_links(source: Path, target: Path) -> None:
    """A copy of a folder made of hard links, but for configs: files of it are replaced, never written into."""
    shutil.copytree(source, target, copy_function=_link, symlinks=True)


def _link(source: str, target: str) -> None:
    if source.endswith('.py'):  # a tool may write into the config of a silly option
        shutil.copy2(source, target)
        return
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)
