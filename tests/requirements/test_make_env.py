"""The set-up says what failed, takes what is there, and compiles mmcv as the installed torch needs it."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

from tests.conftest import ROOT

SCRIPT = ROOT / 'requirements' / 'make_env.py'
MMCV_BUILD = ROOT / 'requirements' / 'mmcv_build'


STACKS = ('frozen', 'onedl', 'classic')


def load(stack: str, monkeypatch) -> ModuleType:
    monkeypatch.setenv('STACK', stack)
    spec = importlib.util.spec_from_file_location('make_env', SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def make_env(tmp_path, monkeypatch):
    module = load('frozen', monkeypatch)
    monkeypatch.setattr(module, 'LOG', tmp_path)
    return module


@pytest.mark.parametrize(
    ('message', 'cause'),
    [
        ('OSError: [Errno 28] No space left on device', 'the disk is full'),
        ('NewConnectionError: Temporary failure in name resolution', 'no network'),
        ("error: command 'g++' failed: No such file or directory", 'no C++ compiler'),
        ('fatal error: Python.h: No such file or directory', 'no headers of this Python'),
        ('ERROR: No matching distribution found for torch==2.14.1', 'no network, or a package index without'),
        ("error: [Errno 2] No such file or directory: 'g++-12'", 'no C++ compiler'),
        ('ImportError: libGL.so.1: cannot open shared object file: No such file', 'a system library that OpenCV needs'),
        ('c++: fatal error: Killed signal terminated program cc1plus', 'not enough memory'),
    ],
)
def test_failed_step_names_itself_its_log_and_the_likely_cause(message, cause, make_env, tmp_path):
    command = [sys.executable, '-c', f'print({message!r}); raise SystemExit(1)']
    with pytest.raises(make_env.StepError) as error:
        make_env.run('torch', command)
    text = str(error.value)
    assert 'step torch failed' in text and str(tmp_path / 'torch.log') in text
    assert f'Likely cause: {cause}' in text and message in text


def pinned(name: str) -> set[str]:
    lines = (ROOT / 'requirements' / f'{name}.txt').read_text().splitlines()
    return {re.split('[ =]', line)[0] for line in lines if re.match(r'\w', line)}


@pytest.mark.parametrize('version', [(3, 10), (3, 11), (3, 12), (3, 13)])
def test_one_pin_a_package_for_each_python(version, make_env, monkeypatch):
    monkeypatch.setattr(make_env.sys, 'version_info', version)
    pins = make_env.read_pins()
    assert pins['torch'] == 'torch==2.14.1' and pins['mmcv'] == 'mmcv==2.1.0'
    assert ('2.2.6' in pins['numpy']) == (version < (3, 11))
    assert set(pins) == pinned('frozen')


def test_stacks_replace_pins_of_the_frozen_one(monkeypatch):
    frozen = load('frozen', monkeypatch).read_pins()
    onedl, classic = (load(stack, monkeypatch).read_pins() for stack in ('onedl', 'classic'))
    replaced = set(re.findall(r'# in place of (\S+)', (ROOT / 'requirements' / 'onedl.txt').read_text()))
    assert replaced >= {'mmengine', 'mmcv', 'mmdet', 'mmpretrain'}
    assert set(frozen) - set(onedl) == replaced and set(onedl) - set(frozen) == pinned('onedl')
    assert {name for name in frozen if name in onedl and onedl[name] != frozen[name]} == set()
    assert set(classic) == set(frozen)
    assert {name for name in frozen if classic[name] != frozen[name]} == pinned('classic')


@pytest.mark.parametrize('stack', STACKS)
def test_each_stack_has_a_folder_of_its_own(stack, monkeypatch):
    module = load(stack, monkeypatch)
    assert module.VENV.name == ('.venv' if stack == 'frozen' else f'.venv-{stack}')
    assert module.PYTHON.is_relative_to(module.VENV) and module.STAMP.is_relative_to(module.VENV)


@pytest.mark.parametrize(
    ('stack', 'version', 'message'),
    [
        ('newest', (3, 11), 'STACK=newest: can be frozen, onedl, classic'),
        ('classic', (3, 12), r'Python 3\.10 to 3\.11 is needed.*: make env STACK=classic PYTHON=python3\.11$'),
        ('frozen', (3, 14), r'Python 3\.10 to 3\.13 is needed.*: make env STACK=frozen PYTHON=python3\.11$'),
    ],
)
def test_unknown_stacks_and_pythons_are_refused(stack, version, message, monkeypatch):
    module = load(stack, monkeypatch)
    monkeypatch.setattr(module.sys, 'version_info', version)
    with pytest.raises(SystemExit, match=message):
        module.main()


def test_package_declares_the_pythons_of_the_set_up(make_env):
    after = max(make_env.NEWEST_PYTHON.values()) + 1
    assert f"python_requires='>=3.10,<3.{after}'" in (ROOT / 'setup.py').read_text()


@pytest.mark.parametrize(
    ('found', 'chosen'), [(('3.10', '3.11'), 'python3.10'), (('3.11',), 'python3.11'), ((), 'python3.12')]
)
def test_smoke_tests_exist_and_the_classic_stack_gets_a_python_that_it_can_use(found, chosen, tmp_path):
    for version in ('3.10', '3.11'):  # before those of this machine; a shim of pyenv fails like this one
        stub = tmp_path / f'python{version}'
        stub.write_text(f'#!/bin/sh\nexit {int(version not in found)}\n')
        stub.chmod(0o755)
    env = {name: value for name, value in os.environ.items() if name not in ('STACK', 'MAKEFLAGS', 'CLASSIC_PYTHON')}
    env['PATH'] = f'{tmp_path}{os.pathsep}{os.environ["PATH"]}'
    command = ['make', '--dry-run', 'test-stacks', 'PYTHON=python3.12']
    lines = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True).stdout.splitlines()
    made = [line.split()[0] for line in lines if line.endswith('make_env.py')]
    assert made == ['python3.12', 'python3.12', chosen]
    files = {word for line in lines if ' -m pytest ' in line for word in line.split() if word.startswith('tests/')}
    assert files and not [file for file in files if not (ROOT / file).exists()]


IN_STACK = next((stack for stack in STACKS if Path(sys.prefix).name == f'.venv-{stack}'), 'frozen')


@pytest.mark.skipif(not Path(sys.prefix, 'complete').exists(), reason='not in an environment of make env')
def test_second_call_takes_seconds_and_changes_nothing():
    stamp = Path(sys.prefix, 'complete')
    before, start = stamp.stat().st_mtime, time.monotonic()
    env = {**os.environ, 'STACK': IN_STACK}
    result = subprocess.run([sys.executable, SCRIPT], env=env, capture_output=True, text=True, check=True)
    assert time.monotonic() - start < 5 and result.stdout == ''
    assert stamp.stat().st_mtime == before


@pytest.mark.skipif(shutil.which('g++') is None, reason='no g++')
def test_compiler_gets_the_standard_and_a_precompiled_header(tmp_path):
    (tmp_path / 'common').mkdir()
    (tmp_path / 'pch').mkdir()
    (tmp_path / 'common' / 'pytorch_cpp_helper.hpp').write_text('#pragma once\ninline int one() { return 1; }\n')
    (tmp_path / 'op.cpp').write_text(
        '#include "pytorch_cpp_helper.hpp"\n#if __cplusplus < 202002L\n#error too old\n#endif\n'
        'int two() { return one() + 1; }\n'
    )
    env = {**os.environ, 'MMCV_CXX': 'g++', 'MMCV_CXX_STD': '20', 'MMCV_PCH': str(tmp_path / 'pch')}
    flags = ['-MMD', '-MF', 'op.d', '-g', '-O3', '-std=c++17', f'-I{tmp_path}/common', '-H']
    command = [sys.executable, MMCV_BUILD / 'cxx.py', 'c++', *flags, '-c', 'op.cpp', '-o', 'op.o']
    result = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / 'op.o').exists()
    assert f'! {tmp_path}/pch/pytorch_cpp_helper.hpp.gch' in result.stderr  # what gcc -H prints of one that it used


def test_nvcc_gets_the_standard_too(tmp_path):
    env = {**os.environ, 'MMCV_NVCC': 'echo', 'MMCV_CXX_STD': '20'}
    command = [sys.executable, MMCV_BUILD / 'cxx.py', 'nvcc', '-std=c++17', '-c', 'nms.cu']
    result = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    assert result.stdout.split() == ['-std=c++20', '-c', 'nms.cu']


# As mmcv's setup.py, and with a namespace of its own.
READS_VERSION = """
def version():
    exec("__version__ = '2.1.0'")
    return locals()['__version__']

names = {}
exec('x = 3', names)
assert names['x'] == 3 and 'x' not in globals()
print(version())
"""


# Names as Python 3.13 takes them.
BY_NAME = """
def names():
    exec('y = 4', locals=found)
    exec('z = 5', globals=found)

found = {}
names()
assert found['y'] == 4 and found['z'] == 5 and 'y' not in globals()
"""


@pytest.mark.parametrize('header', ['', 'from sitecustomize import exec' + BY_NAME])  # both, in any Python
def test_setup_of_mmcv_reads_its_version(header):
    env = {**os.environ, 'PYTHONPATH': str(MMCV_BUILD)}
    command = [sys.executable, '-c', header + READS_VERSION]
    result = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert result.stdout == '2.1.0\n', result.stderr


def test_environment_half_made_is_made_anew(make_env, tmp_path, monkeypatch):
    """As an interruption leaves it: a Python without a whole pip."""
    venv = tmp_path / 'venv'
    (venv / 'bin').mkdir(parents=True)
    (venv / 'bin' / 'python').symlink_to(sys.executable)
    for name, value in dict(
        VENV=venv, PYTHON=venv / 'bin' / 'python', LOG=venv / 'log', STAMP=venv / 'complete'
    ).items():
        monkeypatch.setattr(make_env, name, value)
    broken = tmp_path / 'broken' / 'pip'
    broken.mkdir(parents=True)
    (broken / '__init__.py').touch()
    monkeypatch.setenv('PYTHONPATH', str(broken.parent))
    make_env.make_venv()
    monkeypatch.delenv('PYTHONPATH')
    assert (venv / 'pyvenv.cfg').exists()
    assert subprocess.run([venv / 'bin' / 'python', '-m', 'pip', '--version'], check=False).returncode == 0
