"""The report on a detector by its command: with a checkpoint and with saved predictions."""

import json
import re
from pathlib import Path

import pytest

from tests.conftest import ROOT, last_line
from tests.docs.scripts import run_here
from tests.tools.conftest import evaluate, make_detector

TOOLS = ROOT / 'tools'
CLASSES = tuple('0123456789')


pytestmark = pytest.mark.usefixtures('one_thread')


@pytest.fixture(scope='module')
def project(tmp_path_factory) -> Path:
    """A folder of :func:`make_detector`, and what its network finds that is right."""
    folder = tmp_path_factory.mktemp('project')
    truth = make_detector(folder)
    (folder / 'perfect.json').write_text(json.dumps([{k: v for k, v in one.items() if k != 'id'} for one in truth]))
    return folder


@pytest.fixture(scope='module')
def report(project) -> dict:
    """Numbers of the report on the checkpoint."""
    return evaluate(project, 'mine.pth', '--out', 'report')


def test_ap_is_what_the_test_script_prints(project, report):
    command = ['mine.py', 'mine.pth', '--out', 'ap.json', '--out-item', 'metrics']
    printed = run_here(TOOLS / 'test.py', *command, cwd=project).splitlines()
    assert len(printed) <= 40 and any('Average Precision' in line for line in printed)
    expected = json.loads((project / 'ap.json').read_text())
    assert 0.1 < report['total']['AP'] < 0.9
    for ours, theirs in {'AP': 'mAP', 'AP50': 'mAP_50', 'AP75': 'mAP_75'}.items():
        assert round(report['total'][ours], 3) == expected[f'coco/bbox_{theirs}']


def test_folder_holds_page_figures_images_numbers_and_predictions(project, report):
    names = {'report.html', 'metrics.json', 'classes.csv', 'predictions.bbox.json'}
    names |= {'precision_recall.png', 'precision_recall_classes.png', 'confusion_matrix.png', 'pictures'}
    assert {path.name for path in (project / 'report').iterdir()} == names
    assert len(list((project / 'report' / 'pictures').iterdir())) == len(report['worst']) > 0
    assert report['detections'] == len(json.loads((project / 'report' / 'predictions.bbox.json').read_text())) == 60


def test_report_is_made_anew_from_saved_predictions(project, report):
    again = evaluate(project, '--predictions', 'report/predictions.bbox.json', '--out', 'again')
    different = {'model', 'config'}
    assert {k: v for k, v in again.items() if k not in different} == {
        k: v for k, v in report.items() if k not in different
    }
    (project / 'again' / 'pictures' / 'worst_99.png').touch()
    perfect = evaluate(project, '--predictions', 'perfect.json', '--compare', 'again', '--out', 'again2')
    assert perfect['total']['AP'] == pytest.approx(1) and perfect['pictures_with_errors'] == 0
    over = evaluate(project, '--predictions', 'perfect.json', '--out', 'again', '--split', 'val', '--worst', 3)
    assert not list((project / 'again' / 'pictures').iterdir()) and over['total'] == perfect['total']


def test_the_best_threshold_is_in_the_command_that_draws(project, report):
    printed = run_here(TOOLS / 'evaluate.py', 'mine.py', 'mine.pth', '--out', 'best', cwd=project)
    command = re.search(r'image_demo\.py INPUT (mine\.py mine\.pth --score-thr (\S+))$', printed, re.MULTILINE)
    assert 0 <= report['total']['threshold'] - float(command[2]) <= 1e-3
    of_classes = re.search(
        r'image_demo\.py INPUT (mine\.py mine\.pth( --score-thr \d=\S+){2,10})$', printed, re.MULTILINE
    )
    best = dict(pair.split('=') for pair in of_classes[1].split()[3::2])
    for row in report['classes']:
        assert row['threshold'] is None or 0 <= row['threshold'] - float(best[row['name']]) <= 1e-3
    for words, out in ((command[1], 'drawn'), (of_classes[1], 'drawn by class')):
        run_here(TOOLS / 'image_demo.py', 'digits/val/00000.png', *words.split(), '--out-dir', out, cwd=project)
        assert (project / out / 'vis' / '00000.png').is_file()


def test_no_predictions_at_all(project):
    (project / 'none.json').write_text('[]')
    assert evaluate(project, '--predictions', 'none.json', '--work-dir', 'work')['detections'] == 0
    assert (project / 'work' / 'report' / 'report.html').exists()  # the default folder


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['mine.py'], '^give either a model or --predictions$'),
        (['mine.py', 'mine.pth', '--score-thr', '2'], r'^--worst 12 --score-thr 2\.0: at least 0, and in \[0, 1\]$'),
        (['mine.py', 'nothing.pth', '--threads', '-1'], r'^--threads -1'),
        (['empty.py', 'nothing.pth'], r'^nothing\.pth: no such file'),  # before the annotations are read
        (['mine.py', 'mine.pth', '--compare', 'nothing.onnx'], r'^--compare nothing\.onnx: no such file'),
        (['mine.py', 'mine.pth', '--compare', 'digits'], r'^digits: a folder, but no report of tools/evaluate'),
        (['mine.py', 'mine.pth', '--out', 'digits'], r'^--out digits: holds files and is no report'),
        (['mine.py', '--predictions', 'digits/val.json'], r'^digits/val\.json: must be a list of predictions'),
        (['mine.py', 'broken.onnx'], r'^broken\.onnx: not an ONNX file'),
        (['empty.py', 'mine.pth'], r'empty\.json: has no annotations'),
        ([ROOT / 'configs' / 'spartan_xt_digits.py', 'mine.pth'], r'spartan_xt_digits\.py: not a detector, and this'),
    ],
)
def test_refusals_are_one_line(arguments, message, project):
    (project / 'broken.onnx').write_bytes(b'no model')
    truth = json.loads((project / 'digits' / 'val.json').read_text())
    (project / 'digits' / 'empty.json').write_text(json.dumps({**truth, 'annotations': []}))
    (project / 'empty.py').write_text(
        "_base_ = 'mine.py'\ntest_dataloader = dict(dataset=dict(ann_file='empty.json'))\n"
    )
    assert re.search(message, last_line('evaluate.py', *arguments, '--work-dir', 'refused', cwd=project))
