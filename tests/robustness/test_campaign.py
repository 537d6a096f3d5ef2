"""Damaged and contradictory inputs are named, or read as what they are; ``make fuzz`` runs 3,000 of them."""

import os
import subprocess
import sys

from tests.conftest import ROOT


def test_mutated_inputs_of_all_kinds_are_named_or_read_rightly(tmp_path):
    command = ['-m', 'tests.robustness.campaign', '--count', '24', '--seed', '0', '--max-unclear', '0']
    result = subprocess.run(
        [sys.executable, *command, '--keep', str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, 'CUDA_VISIBLE_DEVICES': ''},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-5000:]
