"""Trainings on real digits that take minutes: the accuracy that they reach, also when they are killed."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmspartan import config_path
from tests.conftest import ROOT

DIGITS = config_path('spartan_xt_digits')


def accuracy(output: str, phase: str) -> float:
    """The last top-1 that a log prints for a phase."""
    return float(re.findall(rf'Epoch\({phase}\).*?accuracy/top1: ([\d.]+)', output)[-1])


@pytest.mark.training
def test_digits_reach_98_percent_and_the_checkpoint_gives_the_same(run_tool, tmp_path):
    start = time.monotonic()
    trained = run_tool('train.py', DIGITS)
    print(f'trained in {time.monotonic() - start:.0f} s')
    assert trained.returncode == 0, trained.stderr[-2000:]
    measured = accuracy(trained.stdout + trained.stderr, 'val')
    assert measured >= 98
    checkpoint = (tmp_path / 'work_dirs' / 'spartan_xt_digits' / 'last_checkpoint').read_text()
    tested = run_tool('test.py', DIGITS, checkpoint)
    assert accuracy(tested.stdout + tested.stderr, 'test') == measured


@pytest.mark.training
def test_two_processes_killed_in_the_middle_resume_to_the_same_quality(run_tool, tmp_path):
    command = ['bash', str(ROOT / 'tools' / 'dist_train.sh'), DIGITS, '2', '--work-dir', str(tmp_path)]
    env = {**os.environ, 'PYTHON': sys.executable, 'CUDA_VISIBLE_DEVICES': ''}
    with open(tmp_path / 'output', 'w') as output:
        process = subprocess.Popen(command, env=env, stdout=output, stderr=output, start_new_session=True)
        while not (tmp_path / 'epoch_4.pth').exists():
            assert process.poll() is None, (tmp_path / 'output').read_text()[-2000:]
            time.sleep(0.2)
        time.sleep(3)  # into the fifth epoch
        kill_tree(process.pid)
        process.wait()

    resumed = run_tool('dist_train.sh', DIGITS, 2, '--work-dir', tmp_path, '--resume')
    assert resumed.returncode == 0, resumed.stderr[-2000:]
    log = resumed.stdout + resumed.stderr
    assert 'resumed epoch: 4' in log
    assert accuracy(log, 'val') >= 98


def kill_tree(pid: int) -> None:
    """SIGKILL for a process and all below it; torchrun puts its workers into groups of their own."""
    children = Path(f'/proc/{pid}/task/{pid}/children').read_text().split()
    os.kill(pid, signal.SIGKILL)
    for child in children:
        kill_tree(int(child))
