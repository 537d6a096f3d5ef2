import json
import re
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from mmspartan.evaluation.report.matching import coco_of, strongest
from tests.conftest import DATA, ROOT, make_digits, save_untrained
from tests.docs.scripts import run_here

TOOLS = ROOT / 'tools'


def make_detector(folder: Path, config: str = 'rtdetr_quick.py') -> list[dict]:
    """Make a project with a config, ``mine.py``, data and an untrained checkpoint, ``mine.pth``; returns its objects.

    An untrained network finds nothing, so the objects of the validation set are among what it finds, those of an image
    apart from each other.
    """
    (folder / 'mine.py').write_text(f'_base_ = {str(DATA / config)!r}\n')
    make_digits(folder, 4, 6)
    save_untrained(folder / 'mine.py', folder / 'mine.pth')
    evaluate(folder, 'mine.pth', '--out', 'first', '--worst', 0)
    found = json.loads((folder / 'first' / 'predictions.bbox.json').read_text())
    chosen = [result for result in found if min(result['bbox'][2:]) > 2][::4]
    truth = json.loads((folder / 'digits' / 'val.json').read_text())
    apart = strongest(coco_of(SimpleNamespace(dataset=truth), chosen)).dataset['annotations']
    annotations = [{key: one[key] for key in ('id', *chosen[0])} for one in apart]
    (folder / 'digits' / 'val.json').write_text(json.dumps({**truth, 'annotations': annotations}))
    return annotations


def evaluate(project: Path, *arguments: object) -> dict:
    """The numbers of the report that ``evaluate.py`` makes on ``mine.py``."""
    printed = run_here(TOOLS / 'evaluate.py', 'mine.py', *arguments, cwd=project)
    out = Path(re.search(r'^(\S+)/report\.html$', printed, re.MULTILINE)[1])
    return json.loads((project / out / 'metrics.json').read_text())


@pytest.fixture
def convert(tmp_path, monkeypatch, capsys):
    """Runs a script of ``tools/`` in this process, in ``tmp_path``; returns what it printed."""

    def run(script: str, *args: str) -> str:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, 'argv', [script, *args])
        runpy.run_path(str(ROOT / 'tools' / script), run_name='__main__')
        return capsys.readouterr().out

    return run
