"""The detector through command lines: ours, and mmdet's own from its wheel, outside the repository."""

import json
import pickle
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import mmdet
import pytest

from tests.conftest import DATA, ROOT, run_script

OWN = ROOT / 'tools'
MMDET = Path(mmdet.__path__[0]) / '.mim' / 'tools'


def average_precision(output: str) -> list[str]:
    return re.findall(r'bbox_mAP_copypaste: ([-\d. ]+)', output)[-1].split()


@pytest.fixture(scope='module')
def project(tmp_path_factory) -> Path:
    """Somebody's project: a config that inherits from ours, data, and a checkpoint of mmdet's own training script."""
    folder = tmp_path_factory.mktemp('project')
    shutil.copy(DATA / 'rtdetr_quick.py', folder / 'mine.py')
    size = ['--train', 8, '--val', 6, '--size', 64]
    run_script(OWN / 'dataset_converters' / 'digits_to_coco.py', '--out', 'digits', *size, cwd=folder)
    run_script(MMDET / 'train.py', 'mine.py', cwd=folder)
    return folder


@pytest.fixture
def checkpoint(project) -> Path:
    return project / 'work_dirs' / 'mine' / 'epoch_1.pth'


def test_mmdets_own_scripts_and_ours_agree(project, checkpoint):
    theirs = run_script(MMDET / 'test.py', 'mine.py', checkpoint, cwd=project)
    ours = run_script(
        *(OWN / 'test.py', 'mine.py', checkpoint, '--out', 'out.pkl', '--show-dir', 'shown'),
        *('--cfg-options', 'test_evaluator.classwise=False'),
        cwd=project,
    )
    assert average_precision(theirs) == average_precision(ours) and len(average_precision(ours)) == 6
    assert len(pickle.loads((project / 'out.pkl').read_bytes())) == 6
    assert len(list(project.glob('shown/*.png'))) == 6


def test_images_and_videos_are_drawn_and_written(project, checkpoint):
    run_script(OWN / 'image_demo.py', 'digits/val', 'mine.py', checkpoint, cwd=project)
    assert len(list((project / 'outputs' / 'vis').iterdir())) == 6
    prediction = json.loads((project / 'outputs' / 'preds' / '00000.json').read_text())
    assert len(prediction['bboxes']) == len(prediction['scores']) == 10

    writer = cv2.VideoWriter(str(project / 'film.mp4'), cv2.VideoWriter_fourcc(*'mp4v'), 5, (64, 64))
    for path in sorted((project / 'digits' / 'val').iterdir())[:3]:
        writer.write(cv2.imread(str(path)))
    writer.release()
    run_script(OWN / 'image_demo.py', 'film.mp4', 'mine.py', checkpoint, '--out-dir', 'filmed', cwd=project)
    assert len(json.loads((project / 'filmed' / 'preds' / 'film.json').read_text())) == 3
    assert cv2.VideoCapture(str(project / 'filmed' / 'vis' / 'film.mp4')).get(cv2.CAP_PROP_FRAME_COUNT) == 3


def test_faster_coco_eval_gives_the_same_numbers(project, checkpoint):
    items = ['mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m', 'mAP_l']
    items += ['AR@100', 'AR@300', 'AR@1000', 'AR_s@1000', 'AR_m@1000', 'AR_l@1000']
    tables = []
    for metric in ('CocoMetric', 'FasterCocoMetric'):
        options = [f'test_evaluator.type={metric}', 'test_evaluator.metric_items=' + ','.join(items)]
        command = [OWN / 'test.py', 'mine.py', checkpoint, '--out', f'{metric}.json', '--out-item', 'metrics']
        run_script(*command, '--cfg-options', *options, 'test_evaluator.outfile_prefix=found', cwd=project)
        tables.append(json.loads((project / f'{metric}.json').read_text()))
    assert len(tables[0]) == 12 and tables[0] == tables[1]

    truth = json.loads((project / 'digits' / 'val.json').read_text())['annotations']  # detections worth counting
    found = [dict(a, score=0.9 - 0.01 * i, bbox=[x + i % 9 for x in a['bbox']]) for i, a in enumerate(truth)]
    (project / 'better.json').write_text(json.dumps(found))
    printed = run_script(OWN / 'analysis_tools' / 'compare_coco_eval.py', 'digits/val.json', 'better.json', cwd=project)
    rows = [line.split() for line in printed.splitlines()]
    numbers = {row[0]: row[1:3] for row in rows if len(row) >= 3}
    assert 0 < float(numbers['AP'][0]) < 1 and float(numbers['AP50'][0]) > float(numbers['AP'][0])
    assert len(numbers) == 13 and 'seconds' in numbers


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['digits/val.json', 'mine.py'], 'digits/val.json: neither an image nor one of'),
        (['nothing.png', 'mine.py'], 'nothing.png: no such image'),
        (['digits/val', 'nothing.py'], 'nothing.py: no such config file'),
        (['digits/val', ROOT / 'configs' / 'spartan_xt_digits.py'], 'spartan_xt_digits.py: not a detector'),
        (['digits/val', ROOT / 'configs' / 'rtdetr_spartan_t_coco.py'], r'does not fit the model: \d+ of its \d+'),
    ],
)
def test_demo_refuses_in_one_line(arguments, message, project, checkpoint):
    command = [sys.executable, OWN / 'image_demo.py', *arguments, checkpoint]
    result = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert result.returncode == 1 and 'Traceback' not in result.stderr
    assert re.search(message, result.stderr.strip().splitlines()[-1])


def test_checkpoint_of_another_model_is_not_evaluated(project, checkpoint):
    command = [
        sys.executable,
        OWN / 'test.py',
        'mine.py',
        checkpoint,
        '--cfg-options',
        'model.bbox_head.num_classes=11',
    ]
    result = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert result.returncode == 1 and 'epoch_1.pth does not fit the model' in result.stderr
    assert 'cls_branches.0.weight is (10, ' in result.stderr


def test_class_name_that_the_annotations_do_not_have_lists_both_sides(project):
    (project / 'wrong.py').write_text(
        "_base_ = './mine.py'\n_classes = ('0', 'one') + tuple('23456789')\n"
        'train_dataloader = dict(dataset=dict(metainfo=dict(classes=_classes)))\n'
    )
    command = [sys.executable, OWN / 'train.py', 'wrong.py']
    result = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert result.returncode != 0
    last = result.stderr.strip()[-500:]
    assert (
        "no category is called ['one']" in last and "'0', 'one', '2'" in last and "train.json: ['0', '1', '2'" in last
    )
