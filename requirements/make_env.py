"""Make an environment with one of the tested stacks and this project in it: what ``make env`` runs.

``STACK`` in the environment chooses the stack: ``frozen`` (``.venv/``, the default), ``onedl`` (``.venv-onedl/``) or
``classic`` (``.venv-classic/``). Called again it ends at once if nothing changed, and goes on where it was interrupted.
Output of each step goes to ``log/`` in the environment. Wheels in ``PIP_FIND_LINKS`` and pip's cache are used; mmcv,
which has no wheel for current versions of torch, is otherwise compiled here.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NEWEST_PYTHON = dict(frozen=13, onedl=13, classic=11)  # 3.x, of each stack
STACK = os.environ.get('STACK', 'frozen')
VENV = ROOT / ('.venv' if STACK == 'frozen' else f'.venv-{STACK}')
LOG = VENV / 'log'
PYTHON = VENV / 'bin' / 'python'
REQUIREMENTS = ROOT / 'requirements'
MMCV_BUILD = REQUIREMENTS / 'mmcv_build'
STAMP = VENV / 'complete'

# What a log says, and what is likely behind it.
CAUSES = {
    r'No space left on device|Errno 28': 'the disk is full: an environment needs 9 GB, pip some more in $TMPDIR',
    r'Temporary failure in name resolution|Failed to establish a new connection|Max retries|timed out|'
    r'ConnectionError|ProxyError|Network is unreachable': 'no network: pip cannot reach its package index',
    r"command '\S*(c\+\+|g\+\+|gcc|cc)\S*' failed: No such file|\b(c\+\+|g\+\+|gcc)[-\w.]*: (command )?not found|"
    r"No such file or directory: '\S*(c\+\+|g\+\+|gcc|cc)[-\w.]*'": 'no C++ compiler: on Debian, apt install g++',
    r'ensurepip is not available|No module named (venv|ensurepip)': 'no venv module: apt install python3-venv',
    r'(lib\S+\.so\S*): cannot open shared object file': 'a system library that OpenCV needs is not installed: '
    'on Debian and Ubuntu, apt install libgl1 libglib2.0-0 libxcb1',
    r'Python\.h: No such file': 'no headers of this Python: on Debian and Ubuntu, apt install python3-dev',
    r'Killed signal|cannot allocate memory|virtual memory exhausted': 'not enough memory: MAX_JOBS=1 make env',
    r'No matching distribution found|from versions: none': 'no network, or a package index without this version',
}


class StepError(Exception):
    pass


def main() -> None:
    if STACK not in NEWEST_PYTHON:
        sys.exit(f'STACK={STACK}: can be {", ".join(NEWEST_PYTHON)}')
    if not (3, 10) <= sys.version_info < (3, NEWEST_PYTHON[STACK] + 1):
        sys.exit(
            f'Python 3.10 to 3.{NEWEST_PYTHON[STACK]} is needed, this is {sys.version.split()[0]}: '
            f'make env STACK={STACK} PYTHON=python3.11'
        )
    inputs = [REQUIREMENTS / name for name in ('frozen.txt', f'{STACK}.txt', 'make_env.py')]
    inputs += sorted(MMCV_BUILD.glob('*.py'))
    inputs += [ROOT / 'setup.py', ROOT / 'pyproject.toml', ROOT / 'mmspartan' / 'version.py']
    machine = f'{VENV} {sys.version_info[:2]} {shutil.which("nvidia-smi")}'
    stamp = hashlib.sha256(b''.join(path.read_bytes() for path in inputs) + machine.encode()).hexdigest()
    if PYTHON.exists() and STAMP.exists() and STAMP.read_text() == stamp:
        return
    if shutil.disk_usage(ROOT).free < 9 << 30 and not PYTHON.exists():
        print('warning: less than 9 GB of disk is free, which the environment needs', flush=True)

    print(f'Making {VENV}; a few minutes, mostly downloads. Logs: {LOG}/', flush=True)
    try:
        make_venv()
        pins = read_pins()
        constraints = LOG / 'constraints.txt'
        constraints.write_text('\n'.join(pins.values()))
        pip('tools', *(pins.pop(name) for name in ('pip', 'setuptools', 'ninja')))
        pip('torch', '--constraint', str(constraints), pins.pop('torch'), pins.pop('torchvision'))
        # last: whether it works cannot be seen before the others are there
        mmcv = pins.pop(next(name for name in pins if name.endswith('mmcv')))
        pose = [pins.pop(name) for name in ('mmpose', 'xtcocotools')]
        alone = [pins.pop(name) for name in ('grad-cam', 'mlxtend')]
        pip('packages', '--constraint', str(constraints), *pins.values())
        pip('alone', '--no-deps', *alone)
        make_mmcv(mmcv)
        make_mmpose(pose)
        pip('project', '--no-deps', '--no-build-isolation', '-e', str(ROOT))
        run('check', [PYTHON, '-c', 'import mmcv.ops, mmdet.apis, mmpretrain.apis, mmspartan'])
        STAMP.write_text(stamp)
        print(f'{VENV} is ready; to use it in this shell: source {VENV / "bin" / "activate"}', flush=True)
    except StepError as error:
        sys.exit(f'make env: {error}')
    except OSError as error:
        sys.exit(f'make env: {error}\n  Likely cause: {likely_cause(str(error)) or "see above"}')


def read_pins() -> dict[str, str]:
    """Requirement lines of the stack by package: those of ``frozen.txt`` with what the stack's own file replaces.

    Of two lines for different Pythons one is there, with its marker. ``# in place of NAME`` takes the line of NAME out.
    """
    older = sys.version_info < (3, 11)
    pins: dict[str, str] = {}
    for name in dict.fromkeys(('frozen', STACK)):
        for text in (REQUIREMENTS / f'{name}.txt').read_text().splitlines():
            line = text.split('#')[0].strip()
            if not line or ('>= "3.11"' if older else '< "3.11"') in line:
                continue
            if replaced := re.search(r'# in place of (\S+)', text):
                pins.pop(replaced[1])
            pins[line.split('==')[0]] = line
    return pins


def make_venv() -> None:
    STAMP.unlink(missing_ok=True)
    version = f'{sys.version_info.major}.{sys.version_info.minor}'
    is_whole = [PYTHON, '-c', f'import sys; assert sys.version.startswith("{version}."); import pip._internal.cli.main']
    if PYTHON.exists() and subprocess.run(is_whole, capture_output=True, check=False).returncode == 0:
        return
    shutil.rmtree(VENV, ignore_errors=True)  # none yet, another Python's, or interrupted while it was made
    LOG.mkdir(parents=True)
    run('venv', [sys.executable, '-m', 'venv', VENV])


def make_mmcv(requirement: str) -> None:
    """Install mmcv with compiled ops that load under the installed torch: a wheel, one that pip cached, or compile."""
    name = requirement.split('==')[0]
    run('import', [PYTHON, '-c', 'import cv2, torch, mmengine'])
    cuda = torch_says('torch.version.cuda') if torch_says('torch.cuda.is_available()') == 'True' else ''
    nvcc = cuda_compiler(cuda.split('.')[0]) if cuda else None
    print(
        f'  mmcv: {"CUDA" if nvcc else "CPU"} ops (GPU: {"yes" if cuda else "no"}'
        + (f', CUDA {cuda} compiler: {nvcc or "no"})' if cuda else ')'),
        flush=True,
    )
    if is_usable(bool(nvcc)):
        return
    flags = ['--no-deps', '--force-reinstall']
    with suppress(StepError):  # where there is no wheel
        pip('mmcv-wheel', *flags, '--only-binary', name, requirement, quiet=True)
        if is_usable(bool(nvcc)):
            return

    flags += ['--no-build-isolation', '--no-binary', name, '-v']
    print('  mmcv: no wheel fits, compiling (about 6 minutes on 2 cores, CUDA ops take longer)', flush=True)
    try:
        pip('mmcv-build', *flags, requirement, env=compiler_environment(nvcc))
    except StepError as error:
        if nvcc is None:
            raise
        print(f'  mmcv: CUDA ops failed, compiling CPU ops instead. {error}', flush=True)
        nvcc = None
        pip('mmcv-build-cpu', *flags, requirement, env=compiler_environment(None))
    if not is_usable(bool(nvcc)):  # what pip had in its cache was built for another torch
        run('cache', [PYTHON, '-m', 'pip', 'cache', 'remove', name.replace('-', '_')], quiet=True)
        pip('mmcv-build', *flags, requirement, env=compiler_environment(nvcc))
        run('mmcv-import', usable_command(bool(nvcc)))


def make_mmpose(requirements: list[str]) -> None:
    """Install mmpose without its requirements, and xtcocotools compiled; without them only their tests are skipped."""
    # not from pip's cache, which may hold an xtcocotools that was compiled for another numpy
    flags = ['--no-deps', '--no-build-isolation', '--no-cache-dir', '--no-binary', 'xtcocotools']
    try:
        pip('mmpose', *flags, *requirements, env={'PYTHONPATH': str(MMCV_BUILD)})  # sitecustomize.py
    except StepError as error:
        print(f'  mmpose: not installed, its tests are skipped. {error}', flush=True)


def usable_command(cuda: bool) -> list:
    code = 'from mmcv.ops import deform_conv2d, get_compiling_cuda_version, nms'
    return [PYTHON, '-c', code + ('; assert get_compiling_cuda_version() != "not available"' if cuda else '')]


def is_usable(cuda: bool) -> bool:
    return subprocess.run(usable_command(cuda), capture_output=True, check=False, cwd=VENV).returncode == 0


def cuda_compiler(major: str) -> str | None:
    """nvcc of the CUDA release that torch was built for, where torch's build tools look."""
    home = torch_says('__import__("torch.utils.cpp_extension").utils.cpp_extension.CUDA_HOME')
    nvcc = Path(home) / 'bin' / 'nvcc'
    if not nvcc.exists():
        return None
    version = subprocess.run([nvcc, '--version'], capture_output=True, text=True, check=False).stdout
    return str(nvcc) if f'release {major}.' in version else None


def compiler_environment(nvcc: str | None) -> dict[str, str]:
    """Environment in which pip compiles mmcv through ``mmcv_build/``, with CUDA ops if ``nvcc`` is given."""
    folder = VENV / 'mmcv-build'
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name in ('c++', 'nvcc'):
        script = folder / name
        script.write_text(f'#!/bin/sh\nexec "{PYTHON}" "{MMCV_BUILD / "cxx.py"}" {name} "$@"\n')
        script.chmod(0o755)
    header = Path(torch_says('torch.__path__[0]')) / 'include' / 'ATen' / 'ATen.h'
    standard = re.search(r'#error C\+\+(\d+) or later', header.read_text())
    env = {
        'CXX': str(folder / 'c++'),
        'MMCV_CXX': os.environ.get('CXX', 'c++'),
        'MMCV_CXX_STD': standard.group(1) if standard else '17',
        'MMCV_PCH': str(folder),
        'MMCV_WITH_OPS': '1',
        'PYTHONPATH': str(MMCV_BUILD),  # sitecustomize.py
        'MAX_JOBS': os.environ.get('MAX_JOBS', str(len(os.sched_getaffinity(0)))),
    }
    if nvcc:
        # cuSPARSE's and others' headers, which torch's include and a CUDA toolkit of the compiler alone lacks
        nvidia = Path(torch_says('torch.__path__[0]')).with_name('nvidia')
        headers = [*map(str, nvidia.glob('*/include')), os.environ.get('CPLUS_INCLUDE_PATH')]
        env['CPLUS_INCLUDE_PATH'] = os.pathsep.join(filter(None, headers))
        return {**env, 'PYTORCH_NVCC': str(folder / 'nvcc'), 'MMCV_NVCC': nvcc}
    return {**env, 'CUDA_VISIBLE_DEVICES': ''}  # mmcv's setup takes a visible GPU for a reason to compile CUDA ops


def torch_says(expression: str) -> str:
    command = [PYTHON, '-W', 'ignore', '-c', f'import torch; print({expression})']
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=VENV)
    if result.returncode:
        raise StepError(f'torch does not import; remove {VENV} and call again.\n{result.stderr.strip()[-500:]}')
    return result.stdout.strip()


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
    cause = likely_cause(text) or f'not known; after a look at the log, remove {VENV} and call again'
    tail = '\n'.join(f'    {line}' for line in text.strip().splitlines()[-5:])
    raise StepError(f'step {step} failed. Log: {log}\n{tail}\n  Likely cause: {cause}')


def likely_cause(text: str) -> str | None:
    return next((cause for pattern, cause in CAUSES.items() if re.search(pattern, text, re.IGNORECASE)), None)


if __name__ == '__main__':
    main()
