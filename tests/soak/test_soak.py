"""A part of ``make soak``."""

import re
import subprocess
import sys

import pytest

from tests.conftest import ROOT


@pytest.mark.training
def test_runs_of_one_and_two_processes_and_of_detectors_survive_kills():
    # in a process of its own, which forks before anything is computed
    # this seed ends a run in each way
    command = [sys.executable, '-m', 'tests.soak', '--kills', '5', '--steps', '0', '--seed', '82701']
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
    assert '2 processes: ' in result.stdout and ' 0 files left over' in result.stdout
    sent = re.findall(r'; by kill (\d+), TERM (\d+), INT (\d+), worker (\d+)', result.stdout)
    assert len(sent) == 5 and all(sum(map(int, counts)) > 0 for counts in zip(*sent))
