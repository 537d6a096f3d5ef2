import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.fixture
def run_tool(tmp_path):
    """Runs a script of ``tools/`` in a folder outside the repository; returns the finished process."""

    def run(script: str, *args, cwd: Path = tmp_path) -> subprocess.CompletedProcess:
        path = ROOT / 'tools' / script
        interpreter = ['bash'] if path.suffix == '.sh' else [sys.executable]
        return subprocess.run(
            [*interpreter, str(path), *map(str, args)],
            cwd=cwd,
            env={**os.environ, 'PYTHON': sys.executable, 'CUDA_VISIBLE_DEVICES': ''},
            capture_output=True,
            text=True,
            check=False,
        )

    return run
