"""Help and mistyped names are answered before torch and OpenMMLab are imported."""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import ExitStack

import pytest

from mmspartan_cli import CfgOptions, openmp, parse, require_config, require_file, require_path
from tests.conftest import ROOT

TOOLS = ROOT / 'tools'
SCRIPTS = sorted(str(path.relative_to(TOOLS)) for path in TOOLS.rglob('*.py'))
SCRIPTS.append(os.path.relpath(ROOT / 'projects' / 'paper' / 'reproduce.py', TOOLS))
# Runs the scripts one after another, and prints the exit code and the heavy modules that each of them has imported.
CHILD = """
import contextlib, io, json, os, runpy, sys
tools, *commands = map(json.loads, sys.argv[1:])
found, heavy = [], {'torch', 'mmengine', 'mmcv', 'mmdet', 'mmpretrain', 'mmspartan'}
for script, *words in commands:
    sys.argv = [script, *words]
    printed, before = io.StringIO(), set(sys.modules)
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            runpy.run_path(os.path.join(tools, script), run_name='__main__')
            code = 0
        except SystemExit as ended:
            code = ended.code
    found.append([code, sorted(heavy & set(sys.modules) - before)])
print(json.dumps(found))
"""
MISTYPED = [
    ['train.py', 'no_such'],
    ['train.py', 'CONFIG', '--resume', 'no_such'],
    ['test.py', 'no_such', 'CONFIG'],
    ['test.py', 'CONFIG', 'no_such'],
    ['evaluate.py', 'CONFIG', 'no_such'],
    ['evaluate.py', 'CONFIG', '--predictions', 'no_such'],
    ['image_demo.py', 'CONFIG', 'CONFIG', 'no_such'],
    ['image_demo.py', 'no_such', 'CONFIG', 'CONFIG'],
    ['prepare_dataset.py', 'no_such', '--out', 'a'],
    ['prepare_dataset.py', 'CONFIG', '--out', 'a', '--pictures', 'no_such'],
    ['prepare_dataset.py', 'CONFIG', '--out', 'a', '--base', 'no_such'],
    ['prepare_dataset.py', 'CONFIG', '--out', 'a', '--weights', 'no_such'],
    ['export_onnx.py', 'CONFIG', 'no_such', '--out', 'a.onnx'],
    ['deploy_test.py', 'CONFIG', 'no_such'],
    ['quantize_onnx.py', 'CONFIG', 'no_such', '--out', 'a.onnx'],
    ['model_converters/reparameterize_model.py', 'CONFIG', 'no_such', 'a.pth'],
    ['model_converters/rtdetr_to_mmdet.py', 'no_such', 'a.pth'],
    ['model_converters/spartan_to_mmpretrain.py', 'no_such', 'a.pth'],
    ['misc/publish_model.py', 'no_such', 'a.pth'],
    ['analysis_tools/get_flops.py', 'CONFIG', 'no_such'],
    ['analysis_tools/erf.py', 'CONFIG', 'no_such', 'a.png', '--out', 'b.png'],
    ['analysis_tools/grad_cam.py', 'CONFIG', 'CONFIG', 'no_such', '--out', 'b'],
    ['analysis_tools/grad_cam.py', 'CONFIG', 'CONFIG', 'CONFIG', '--out', 'b', '--compare', 'CONFIG', 'no_such'],
    ['analysis_tools/waves.py', 'CONFIG', 'CONFIG', 'no_such', '--out', 'b.png'],
    ['analysis_tools/benchmark.py', 'no_such'],
    ['analysis_tools/benchmark_dataloader.py', 'no_such'],
    ['analysis_tools/compare_benchmarks.py', 'no_such', 'CONFIG'],
]


@pytest.fixture(scope='module')
def outcomes() -> dict[tuple[str, ...], list]:
    """Exit code and imported modules of each command, all run by one process."""
    config = str(ROOT / 'configs' / 'spartan_xt_digits.py')
    commands = [[script, '--help'] for script in SCRIPTS] + MISTYPED
    given = [[word.replace('CONFIG', config) for word in command] for command in commands]
    child = [sys.executable, '-c', CHILD, json.dumps(str(TOOLS)), *map(json.dumps, given)]
    result = subprocess.run(child, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-2000:]
    return dict(zip(map(tuple, commands), json.loads(result.stdout), strict=True))


def test_ctrl_c_ends_a_command_while_it_imports_without_a_traceback():
    lines = [
        'import os, signal, sys, time',
        'signal.signal(signal.SIGINT, signal.default_int_handler)',  # a background process inherits that it is ignored
        'from mmspartan_cli import build_parser, parse',
        f'sys.argv = ["train.py", {str(ROOT / "configs" / "spartan_xt_digits.py")!r}]',
        'parse(build_parser("")); os.kill(os.getpid(), signal.SIGINT); time.sleep(9)',
    ]
    ended = subprocess.run(
        [sys.executable, '-c', '\n'.join(lines)], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert (ended.returncode, ended.stderr) == (-signal.SIGINT, '')


@pytest.mark.parametrize('script', SCRIPTS)
def test_help_needs_no_torch(script, outcomes):
    code, imported = outcomes[script, '--help']
    assert not imported
    assert code == 0 or (script == 'misc/run_with_progress.py' and 'usage' in code)


@pytest.mark.parametrize('command', MISTYPED, ids=' '.join)
def test_a_mistyped_name_needs_no_torch(command, outcomes):
    code, imported = outcomes[tuple(command)]
    assert not imported
    before = command[command.index('no_such') - 1]
    assert code.startswith(f'{before} no_such: ' if before.startswith('--') else 'no_such: ')


@pytest.mark.parametrize('empty', [['--out', ''], ['--out='], ['']])
def test_an_empty_argument_is_refused(empty, monkeypatch, capsys):
    parser = argparse.ArgumentParser()
    parser.add_argument('--out')
    parser.add_argument('more', nargs='*')
    monkeypatch.setattr(sys, 'argv', ['train.py', *empty])
    with pytest.raises(SystemExit) as ended:
        parse(parser)
    assert ended.value.code == 2 and 'empty' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('environment', 'torch_is_loaded', 'free', 'expected'),
    [
        ({}, False, 3.4, {'GOMP_SPINCOUNT': '10000'}),
        ({}, False, 2.0, {'OMP_WAIT_POLICY': 'PASSIVE', 'OMP_NUM_THREADS': '2'}),
        ({}, False, -1.2, {'OMP_WAIT_POLICY': 'PASSIVE', 'OMP_NUM_THREADS': '1'}),
        ({'OMP_NUM_THREADS': '3'}, False, 0.0, {'OMP_WAIT_POLICY': 'PASSIVE'}),
        ({'OMP_WAIT_POLICY': 'ACTIVE'}, False, 0.0, {}),
        ({'GOMP_SPINCOUNT': '7'}, False, 0.0, {}),
        ({}, True, 0.0, {}),
    ],
)
def test_threads_are_as_many_as_free_cores_unless_the_user_says_how_they_wait(
    environment, torch_is_loaded, free, expected, monkeypatch
):
    for name in ('GOMP_SPINCOUNT', 'OMP_WAIT_POLICY', 'OMP_NUM_THREADS'):
        monkeypatch.setenv(name, '')
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    if not torch_is_loaded:
        monkeypatch.delitem(sys.modules, 'torch')
    monkeypatch.setattr(openmp, 'free_cores', lambda: free)
    monkeypatch.setattr(os, 'cpu_count', lambda: 4)
    before = dict(os.environ)
    openmp.limit_threads()
    assert {name: value for name, value in os.environ.items() if before.get(name) != value} == expected


def test_no_core_is_free_beside_as_many_processes():
    count = os.cpu_count() or 1
    with ExitStack() as stack:
        for _ in range(count):
            process = stack.enter_context(subprocess.Popen([sys.executable, '-c', 'while True: pass']))
            stack.callback(process.kill)
        end = time.monotonic() + 10
        while openmp.free_cores() > 0.5:
            assert time.monotonic() < end


@pytest.mark.parametrize('require', [require_file, require_path, require_config])
def test_names_of_any_length_and_letters_are_refused_in_a_short_line(require):
    for name in ('x' * 5000, 'a\nb', ''):
        with pytest.raises(SystemExit) as refused:
            require(name)
        assert '\n' not in str(refused.value) and len(str(refused.value)) < 400


@pytest.mark.parametrize(
    ('given', 'message'),
    [('x', '--cfg-options x: must be KEY=VALUE'), ('a=(1,', '--cfg-options b=2 a=(1,: Imbalanced brackets')],
)
def test_settings_that_are_none_are_refused_in_a_line(given, message):
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=CfgOptions)
    with pytest.raises(SystemExit, match=f'^{re.escape(message)}'):
        parser.parse_args(['--cfg-options', 'b=2', given])
    assert parser.parse_args(['--cfg-options', 'b=2', 'a=[1,2]']).cfg_options == {'b': 2, 'a': [1, 2]}
