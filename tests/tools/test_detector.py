"""The detector through command lines: ours, and mmdet's own from its wheel, outside the repository."""

import json
import os
import pickle
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import mmdet
import pytest

from tests.conftest import DATA, ROOT

OWN = ROOT / 'tools'
MMDET = Path(mmdet.__path__[0]) / '.mim' / 'tools'


def run(*command, cwd: Path) -> str:
    env = {**os.environ, 'CUDA_VISIBLE_DEVICES': ''}
    command = [sys.executable, *map(str, command)]
    result = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout + result.stderr


def average_precision(output: str) -> list[str]:
    return re.findall(r'bbox_mAP_copypaste: ([-\d. ]+)', output)[-1].split()


@pytest.fixture(scope='module')
def project(tmp_path_factory) -> Path:
    """Somebody's project: a config that inherits from ours, data, and a checkpoint of mmdet's own training script."""
    folder = tmp_path_factory.mktemp('project')
    shutil.copy(DATA / 'rtdetr_quick.py', folder / 'mine.py')
    size = ['--train', 8, '--val', 6, '--size', 64]
    run(OWN / 'dataset_converters' / 'digits_to_coco.py', '--out', 'digits', *size, cwd=folder)
    run(MMDET / 'train.py', 'mine.py', cwd=folder)
    return folder


@pytest.fixture
def checkpoint(project) -> Path:
    return project / 'work_dirs' / 'mine' / 'epoch_1.pth'


def test_mmdets_own_scripts_and_ours_agree(project, checkpoint):
    theirs = run(MMDET / 'test.py', 'mine.py', checkpoint, cwd=project)
    ours = run(
        *(OWN / 'test.py', 'mine.py', checkpoint, '--out', 'out.pkl', '--show-dir', 'shown'),
        *('--cfg-options', 'test_evaluator.classwise=False'),
        cwd=project,
    )
    assert average_precision(theirs) == average_precision(ours) and len(average_precision(ours)) == 6
    assert len(pickle.loads((project / 'out.pkl').read_bytes())) == 6
    assert len(list(project.glob('shown/*.png'))) == 6


def test_images_and_videos_are_drawn_and_written(project, checkpoint):
    run(OWN / 'image_demo.py', 'digits/val', 'mine.py', checkpoint, cwd=project)
    assert len(list((project / 'outputs' / 'vis').iterdir())) == 6
    prediction = json.loads((project / 'outputs' / 'preds' / '00000.json').read_text())
    assert len(prediction['bboxes']) == len(prediction['scores']) == 10

    writer = cv2.VideoWriter(str(project / 'film.mp4'), cv2.VideoWriter_fourcc(*'mp4v'), 5, (64, 64))
    for path in sorted((project / 'digits' / 'val').iterdir())[:3]:
        writer.write(cv2.imread(str(path)))
    writer.release()
    run(OWN / 'image_demo.py', 'film.mp4', 'mine.py', checkpoint, '--out-dir', 'filmed', cwd=project)
    assert len(json.loads((project / 'filmed' / 'preds' / 'film.json').read_text())) == 3
    assert cv2.VideoCapture(str(project / 'filmed' / 'vis' / 'film.mp4')).get(cv2.CAP_PROP_FRAME_COUNT) == 3


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
