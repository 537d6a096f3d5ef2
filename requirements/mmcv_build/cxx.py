"""The compilers as mmcv 2.1's build needs them: ``cxx.py c++ ...`` and ``cxx.py nvcc ...``, set by ``make_env.py``.

mmcv's ``setup.py`` asks for C++17, which the headers of newer torch refuse, and knows neither cheap optimization flags
nor precompiled headers. Nothing of it is edited: the flags are replaced on their way to the real compiler, so that pip
builds, and caches, mmcv as any other package. From the environment: ``MMCV_CXX`` and
``MMCV_NVCC`` the real compilers, ``MMCV_CXX_STD`` the standard's number, ``MMCV_PCH`` a folder for precompiled headers.
"""

import fcntl
import os
import shlex
import subprocess
import sys
from pathlib import Path

HEADER = 'pytorch_cpp_helper.hpp'  # what all of mmcv's sources include first, and with it most of torch


def main() -> None:
    kind, *args = sys.argv[1:]
    compiler = shlex.split(os.environ['MMCV_NVCC' if kind == 'nvcc' else 'MMCV_CXX'])
    std = f'-std=c++{os.environ["MMCV_CXX_STD"]}'
    args = [std if arg.startswith('-std=') else arg for arg in args]
    if kind == 'c++' and '-c' in args and any(arg.endswith('.cpp') for arg in args):
        # the last optimization and debug level wins
        args = ['-I', os.environ['MMCV_PCH'], *args, '-O2', '-g0']
        precompile(compiler, args)
    os.execvp(compiler[0], [*compiler, *args])


def precompile(compiler: list[str], args: list[str]) -> None:
    """Compile the common header once, with the flags at hand; failing that, compilation works without, slower."""
    folders = [Path(arg.removeprefix('-I')) for arg in args if arg.startswith('-I') and len(arg) > 2]
    header = next((folder / HEADER for folder in folders if (folder / HEADER).exists()), None)
    if header is None:
        return
    target = Path(os.environ['MMCV_PCH'], f'{HEADER}.gch')
    with open(target.with_suffix('.lock'), 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the other compilations wait for the first
        if not target.exists():
            flags, skip = [], False
            for arg in args:
                if skip or arg in ('-MMD', '-c') or arg.endswith('.cpp'):
                    skip = False
                elif arg in ('-o', '-MF'):
                    skip = True
                else:
                    flags.append(arg)
            partial = target.with_suffix('.part')
            command = [*compiler, *flags, '-x', 'c++-header', str(header), '-o', str(partial)]
            if subprocess.run(command, check=False).returncode == 0:
                partial.rename(target)
            else:
                target.touch()  # not valid, so the compiler passes it over; tried once only


if __name__ == '__main__':
    main()
