"""The command's output goes to a file; progress, failures and signals are passed on."""

import os
import signal
import subprocess
import sys
import time

from tests.conftest import ROOT

TOOL = ROOT / 'tools' / 'misc' / 'run_with_progress.py'
STEP = 'Epoch(train)  [2][ 10/93]  lr: 8.0e-05  eta: 0:09:01  time: 1.0  loss: 30.0591  d0.loss_cls: 0.4'
EVALUATED = 'Epoch(val) [2][ 3/13]    eta: 0:00:01  time: 0.1'
TESTED = 'Epoch(test) [10/13]    eta: 0:00:01  time: 0.1'
SCORE = 'Epoch(val) [2][13/13]    coco/bbox_mAP: 0.5120  coco/bbox_mAP_50: 0.7'
STOPPED = """
import time
try:
    print('ready', flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    print('kept')
    exit(130)
"""


def run(folder, code: str) -> subprocess.CompletedProcess:
    command = [sys.executable, str(TOOL), str(folder / 'logs' / 'a.log'), sys.executable, '-c', code]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_progress_is_shown_and_all_output_is_kept(tmp_path):
    ended = run(tmp_path, f'print("x\\n{STEP}\\n{EVALUATED}\\n{SCORE}\\n{TESTED}")')
    assert ended.returncode == 0 and not ended.stderr
    assert ended.stdout.splitlines() == [
        '     epoch  2  step  10/93  loss  30.059  0:09:01 left',
        '     evaluating: batch 3 of 13',
        '     evaluated: bbox_mAP 0.5120',
        '     evaluating: batch 10 of 13',
    ]
    assert (tmp_path / 'logs' / 'a.log').read_text() == f'x\n{STEP}\n{EVALUATED}\n{SCORE}\n{TESTED}\n'


def test_a_failure_is_shown_with_its_exit_code(tmp_path):
    ended = run(tmp_path, 'import sys; sys.exit("data/: not there; do this")')
    assert ended.returncode == 1
    assert 'data/: not there; do this' in ended.stderr and f'{tmp_path}/logs/a.log' in ended.stderr


def test_a_command_that_does_not_exist_is_named(tmp_path):
    command = [sys.executable, str(TOOL), str(tmp_path / 'a.log'), 'no_such_command']
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 1 and ended.stderr == 'no_such_command: No such file or directory\n'


def test_ctrl_c_waits_for_the_command_to_stop(tmp_path):
    command = [sys.executable, str(TOOL), str(tmp_path / 'a.log'), sys.executable, '-c', STOPPED]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while not (tmp_path / 'a.log').exists() or 'ready' not in (tmp_path / 'a.log').read_text():
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    assert 'kept' in process.communicate(timeout=30)[1]
    assert process.returncode == 130
