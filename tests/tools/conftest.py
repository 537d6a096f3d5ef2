import runpy
import sys

import pytest

from tests.conftest import ROOT


@pytest.fixture
def convert(tmp_path, monkeypatch, capsys):
    """Runs a script of ``tools/`` in this process, in ``tmp_path``; returns what it printed."""

    def run(script: str, *args: str) -> str:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, 'argv', [script, *args])
        runpy.run_path(str(ROOT / 'tools' / script), run_name='__main__')
        return capsys.readouterr().out

    return run
