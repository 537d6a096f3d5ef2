"""Make ``.venv/`` with the stack of ``frozen.txt`` and this project in it: what ``make env`` runs.

Called again it ends at once if nothing changed, and goes on where it was interrupted. Output of each step goes to
``.venv/log/``. Wheels in ``PIP_FIND_LINKS`` and pip's cache are used; mmcv, which has no wheel for current versions of
torch, is otherwise compiled here.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / '.venv'
LOG = VENV / 'log'
PYTHON = VENV / 'bin' / 'python'
FROZEN = ROOT / 'requirements' / 'frozen.txt'
STAMP = VENV / 'complete'

# What a log says, and what is likely behind it.
CAUSES = {
    r'No space left on device|Errno 28': 'the disk is full: .venv needs 9 GB, pip some more in $TMPDIR',
    r'Temporary failure in name resolution|Failed to establish a new connection|Max retries|timed out|'
    r'ConnectionError|ProxyError|Network is unreachable': 'no network: pip cannot reach its package index',
    r"command '\S*(c\+\+|g\+\+|gcc|cc)\S*' failed: No such file|\b(c\+\+|g\+\+|gcc): (command )?not found|"
    r"No such file or directory: '\S*(c\+\+|g\+\+|gcc)'": 'no C++ compiler: on Debian and Ubuntu, apt install g++',
    r'Python\.h: No such file': 'no headers of this Python: on Debian and Ubuntu, apt install python3-dev',
    r'Killed signal|cannot allocate memory|virtual memory exhausted': 'not enough memory: MAX_JOBS=1 make env',
    r'No matching distribution found|from versions: none': 'no network, or a package index without this version',
}


class StepError(Exception):
    pass


def main() -> None:
    inputs = (FROZEN, ROOT / 'setup.py', ROOT / 'pyproject.toml', ROOT / 'mmspartan' / 'version.py')
    stamp = hashlib.sha256(b''.join(path.read_bytes() for path in inputs) + str(VENV).encode()).hexdigest()
    if STAMP.exists() and STAMP.read_text() == stamp:
        return
    if sys.version_info < (3, 10):  # noqa: UP036 - people do call it with an older one
        sys.exit(f'Python 3.10 or newer is needed, this is {sys.version.split()[0]}: make PYTHON=python3.11 env')
    if shutil.disk_usage(ROOT).free < 9 << 30 and not PYTHON.exists():
        print('warning: less than 9 GB of disk is free, which the environment needs', flush=True)

    print(f'Making {VENV}; a few minutes, mostly downloads. Logs: {LOG}/', flush=True)
    try:
        make_venv()
        pins = read_pins()
        pip('tools', *(pins.pop(name) for name in ('pip', 'setuptools', 'ninja')))
        pip('torch', pins.pop('torch'), pins.pop('torchvision'))
        mmcv = pins.pop('mmcv')  # last: whether it works cannot be seen before the others are there
        pip('packages', '--constraint', str(FROZEN), *pins.values())
        make_mmcv(mmcv)
        pip('project', '--no-deps', '--no-build-isolation', '-e', str(ROOT))
        run('check', [PYTHON, '-c', 'import mmcv.ops, mmdet.apis, mmpretrain.apis, mmspartan'])
    except StepError as error:
        sys.exit(f'make env: {error}')
    STAMP.write_text(stamp)


def read_pins() -> dict[str, str]:
    """Requirement lines of ``frozen.txt`` by package; one of two lines for different Pythons, with its marker."""
    older = sys.version_info < (3, 11)
    lines = (line.split('#')[0].strip() for line in FROZEN.read_text().splitlines())
    chosen = [line for line in lines if line and ('>= "3.11"' if older else '< "3.11"') not in line]
    return {line.split('==')[0]: line for line in chosen}


def make_venv() -> None:
    STAMP.unlink(missing_ok=True)
    is_whole = [PYTHON, '-c', f'import pip, sys; sys.exit(sys.version_info[:2] != {sys.version_info[:2]})']
    if not PYTHON.exists() or subprocess.run(is_whole, capture_output=True, check=False).returncode:
        try:
            venv.create(VENV, clear=True, with_pip=True, symlinks=True)
        except subprocess.CalledProcessError:
            raise StepError('step venv failed. Likely cause: no venv module: apt install python3-venv') from None
    LOG.mkdir(exist_ok=True)


def make_mmcv(requirement: str) -> None:
    """Install mmcv with compiled ops that load under the installed torch: a wheel, one that pip cached, or compile."""
    cuda = torch_says('torch.cuda.is_available()') == 'True'
    nvcc = torch_says('__import__("torch.utils.cpp_extension").utils.cpp_extension.CUDA_HOME') != 'None'
    want_cuda = cuda and nvcc
    print(
        f'  mmcv: {"CUDA" if want_cuda else "CPU"} ops'
        f' (GPU: {"yes" if cuda else "no"}, CUDA compiler: {"yes" if nvcc else "no"})',
        flush=True,
    )
    usable = ['from mmcv.ops import get_compiling_cuda_version as cuda', 'from mmcv.ops import deform_conv2d, nms']
    if want_cuda:
        usable.append('assert cuda() != "not available"')

    def is_usable() -> bool:
        command = [PYTHON, '-c', '; '.join(usable)]
        return subprocess.run(command, capture_output=True, check=False, cwd=VENV).returncode == 0

    if is_usable():
        return
    flags = ['--no-deps', '--force-reinstall']
    try:
        pip('mmcv-wheel', *flags, '--only-binary', 'mmcv', requirement, quiet=True)
        if is_usable():
            return
    except StepError:
        pass  # no wheel

    env = compiler_environment()
    if not want_cuda:
        env['CUDA_VISIBLE_DEVICES'] = ''  # mmcv's setup takes a visible GPU for a reason to compile CUDA ops
    print('  mmcv: no wheel fits, compiling (about 6 minutes on 2 cores, CUDA ops take longer)', flush=True)
    for cache in ([], ['--no-cache-dir']):  # pip may have cached one that it built for another torch
        build = ['--no-build-isolation', '--no-binary', 'mmcv', '-v']
        pip('mmcv-build', *flags, *build, *cache, requirement, env=env)
        if is_usable():
            return
    raise StepError(f'step mmcv-build failed: mmcv does not import after it. Log: {LOG / "mmcv-build.log"}')


def compiler_environment() -> dict[str, str]:
    """Environment in which pip compiles mmcv through ``cxx.py``."""
    folder = VENV / 'mmcv-build'
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    compiler = folder / 'c++'
    compiler.write_text(f'#!/bin/sh\nexec "{PYTHON}" "{ROOT / "requirements" / "cxx.py"}" "$@"\n')
    compiler.chmod(0o755)
    header = Path(torch_says('torch.__path__[0]')) / 'include' / 'ATen' / 'ATen.h'
    standard = re.search(r'#error C\+\+(\d+) or later', header.read_text())
    return {
        'CXX': str(compiler),
        'MMCV_CXX': os.environ.get('CXX', 'c++'),
        'MMCV_CXX_STD': standard.group(1) if standard else '17',
        'MMCV_PCH': str(folder),
        'MMCV_WITH_OPS': '1',
        'MAX_JOBS': os.environ.get('MAX_JOBS', str(len(os.sched_getaffinity(0)))),
    }


def torch_says(expression: str) -> str:
    command = [PYTHON, '-W', 'ignore', '-c', f'import torch; print({expression})']
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=VENV).stdout.strip()


def pip(step: str, *args: str, env: dict[str, str] | None = None, quiet: bool = False) -> None:
    run(step, [PYTHON, '-m', 'pip', 'install', '--disable-pip-version-check', '--progress-bar=off', *args], env, quiet)


def run(step: str, command: list, env: dict[str, str] | None = None, quiet: bool = False) -> None:
    """Run a command with its output in the step's log; say how it goes every 20 seconds.

    Raises:
        StepError: If it fails, with the log and the likely cause.
    """
    log, start = LOG / f'{step}.log', time.monotonic()
    with open(log, 'w') as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **(env or {})})
        while True:
            try:
                code = process.wait(timeout=20)
                break
            except subprocess.TimeoutExpired:
                lines = log.read_text(errors='replace').split('\n')
                files = [found.group() for line in lines if (found := re.search(r'\[\d+/\d+\]', line))]
                last = files[-1] if files else lines[-2].strip()[:70] if len(lines) > 1 else ''
                print(f'  {step} {time.monotonic() - start:4.0f} s  {last}', flush=True)
            except KeyboardInterrupt:
                process.terminate()
                raise SystemExit(f'\nmake env: interrupted in step {step}; call it again to go on') from None
    text = log.read_text(errors='replace')
    if code == 0:
        if not quiet:
            print(f'  {step}: done in {time.monotonic() - start:.0f} s', flush=True)
        return
    cause = next((cause for pattern, cause in CAUSES.items() if re.search(pattern, text, re.IGNORECASE)), None)
    tail = '\n'.join(f'    {line}' for line in text.strip().splitlines()[-5:])
    raise StepError(f'step {step} failed. Log: {log}\n{tail}' + (f'\n  Likely cause: {cause}' if cause else ''))


if __name__ == '__main__':
    main()
