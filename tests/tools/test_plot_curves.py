"""Steps of a training are drawn over iterations, and evaluations over epochs."""

import json
import runpy

import cv2

from tests.conftest import ROOT, last_line

SCRIPT = 'analysis_tools/plot_curves.py'
LOG = [
    dict(loss=3.0, epoch=1, step=50),
    {'coco/bbox_mAP': 0.1, 'step': 1},
    dict(loss=2.0, epoch=2, step=100),
    dict(loss=1.5, epoch=2, step=100),  # trained again after a resume
    {'coco/bbox_mAP': 0.2, 'step': 2},
]


def test_axes_and_values():
    curve = runpy.run_path(str(ROOT / 'tools' / SCRIPT))['curve']
    assert curve(LOG, 'loss') == ('Iteration', [50, 100], [3.0, 1.5])
    assert curve(LOG, 'coco/bbox_mAP') == ('Epoch', [1, 2], [0.1, 0.2])
    shorter = [*LOG, dict(loss=1.0, epoch=3, step=60), dict(loss=0.5, epoch=3, step=80)]  # epochs, after a resume
    assert curve(shorter, 'loss') == ('Iteration', [50, 60, 80], [3.0, 1.0, 0.5])
    by_iterations = [dict(loss=3.0, iter=50, step=50), {'coco/bbox_mAP': 0.1, 'step': 50}]
    assert curve(by_iterations, 'coco/bbox_mAP') == ('Iteration', [50], [0.1])


def test_runs_of_a_work_dir_are_one_curve_and_each_key_has_a_panel(tmp_path, convert):
    for name, entries in (('20260101', LOG[:2]), ('20260102', LOG[2:])):
        (tmp_path / 'run' / name / 'vis_data').mkdir(parents=True)
        text = ''.join(f'{json.dumps(entry)}\n' for entry in entries)
        (tmp_path / 'run' / name / 'vis_data' / 'scalars.json').write_text(text)
    shapes = []
    for keys in (['loss'], ['loss', 'coco/bbox_mAP']):
        convert(SCRIPT, 'run', '--keys', *keys, '--out', 'curves.png')
        shapes.append(cv2.imread(str(tmp_path / 'curves.png')).shape)
    assert shapes[1][1] == 2 * shapes[0][1]
    assert last_line(SCRIPT, 'run', '--keys', 'acc', '--out', 'a.png', cwd=tmp_path).startswith('--keys acc: ')
    assert last_line(SCRIPT, 'none', '--out', 'a.png', cwd=tmp_path).startswith('none: ')
