"""The tools that draw the paper's figures, as they are called."""

import shutil
import sys

import cv2
import pytest

from mmspartan.datasets.digits_split import load_digits_split
from tests.conftest import DATA, ROOT, last_line, save_untrained
from tests.docs.scripts import run_here

TOOLS = ROOT / 'tools' / 'analysis_tools'
CLASSIFIER = ('classifier.py', 'classifier.pth')
DETECTOR = ('detector.py', 'detector.pth')
ALL, ONE = (*CLASSIFIER, 'digits'), (*CLASSIFIER, 'digits/0.png')


@pytest.fixture(scope='module')
def folder(tmp_path_factory, one_thread):
    """Configs and checkpoints of a small classifier and a small detector, and two images."""
    path = tmp_path_factory.mktemp('figures')
    for source, (config, checkpoint) in (('digits_quick.py', CLASSIFIER), ('rtdetr_quick.py', DETECTOR)):
        shutil.copy(DATA / source, path / config)
        save_untrained(path / config, path / checkpoint)
    images, _ = load_digits_split('test')
    (path / 'digits').mkdir()
    (path / 'empty').mkdir()
    for i in range(2):
        cv2.imwrite(str(path / 'digits' / f'{i}.png'), cv2.resize(images[i], (70, 90)))
    return path


def test_grad_cam_of_a_classifier_and_a_detector_side_by_side(folder):
    options = ['--compare', *DETECTOR, '--score-thr', 0, '--category', 3, '1', '--stride', 8, '--out', 'cam']
    printed = run_here(TOOLS / 'grad_cam.py', *CLASSIFIER, 'digits', *options, cwd=folder)
    assert printed.splitlines()[-1] == 'cam: 2 sheets'
    for i in range(2):
        height, width = cv2.imread(str(folder / 'cam' / f'{i}.jpg')).shape[:2]
        assert (height, width) == (660, 900)  # two rows of an image and two maps


def test_missing_library_ends_in_one_line(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, 'pytorch_grad_cam', None)
    line = last_line('analysis_tools/grad_cam.py', *CLASSIFIER, 'digits', '--out', 'cam', cwd=folder)
    assert line.startswith('Grad-CAM needs pytorch-grad-cam') and 'pip install --no-deps grad-cam' in line


def test_waves_of_a_block(folder):
    for model in (CLASSIFIER, DETECTOR):
        options = ['--stage', 2, '--block', 1, '--count', 2, '--out', 'new/waves.png']
        lines = run_here(TOOLS / 'waves.py', *model, 'digits/0.png', *options, cwd=folder).splitlines()
        assert lines[-1] == 'new/waves.png'
        assert [line.split()[0] for line in lines[-4:-1]] == ['wave', 'superposed', 'modulated']
        assert (folder / 'new' / 'waves.png').read_bytes().startswith(b'\x89PNG')
        (folder / 'new' / 'waves.png').unlink()


def test_receptive_fields_of_two_models(folder):
    options = ['--compare', *DETECTOR, '--stage', 1, 2, '--size', 64, '--probes', 1, '--out', 'erf.jpg']
    lines = run_here(TOOLS / 'erf.py', *CLASSIFIER, 'digits', *options, cwd=folder).splitlines()
    assert lines[-1] == 'erf.jpg' and (folder / 'erf.jpg').exists()
    printed = [line for line in lines if line.endswith('positions')]
    assert [line.partition(':')[0] for line in printed] == [
        f'{model}, stage {stage}, {branch}'
        for model in ('classifier', 'detector')
        for stage in (1, 2)
        for branch in ('high', 'low')
    ]
    assert all('in 3 x 3 positions' in line for line in printed if 'high' in line)
    assert all('95 % in 9 x 9 positions' in line for line in printed if 'low' in line)


def test_interactions_of_two_models(folder):
    shutil.copy(folder / CLASSIFIER[1], folder / 'same.pth')
    options = ['--compare', CLASSIFIER[0], 'same.pth', '--grid', 4, '--pairs', 3, '--contexts', 5, '--out', 'o.png']
    lines = run_here(TOOLS / 'interaction_order.py', *CLASSIFIER, 'digits', *options, cwd=folder).splitlines()
    assert lines[-1] == 'o.png' and (folder / 'o.png').exists()
    (first, curve), (second, same) = (line.split(': ', 1) for line in lines[-3:-1])
    assert (first, second) == ('classifier classifier', 'classifier same')
    assert curve == same  # of the same weights: pairs and contexts are the same
    strengths = [float(entry.split(': ')[1]) for entry in curve.split(', ')]
    assert len(strengths) == 11 and sum(strengths) == pytest.approx(11, abs=0.06)  # relative to their mean


@pytest.mark.parametrize(
    ('tool', 'arguments', 'message'),
    [
        ('grad_cam', ('none.py', 'none.pth', 'digits'), 'none.py: no such config file'),
        ('grad_cam', (CLASSIFIER[0], 'none.pth', 'digits'), 'none.pth: no such file'),
        ('grad_cam', (*CLASSIFIER, 'nowhere'), 'nowhere: no such image or folder'),
        ('grad_cam', (*CLASSIFIER, 'empty'), 'empty: no image in it; looked for .png'),
        ('grad_cam', (*CLASSIFIER, 'classifier.py'), 'classifier.py: is no image that can be read'),
        ('grad_cam', (*ALL, 'digits/0.png'), '0: 2 images have this name'),
        ('grad_cam', (CLASSIFIER[0], DETECTOR[1], 'digits'), 'detector.pth does not fit the model: '),
        ('grad_cam', (*ALL, '--category', 10), '--category 10: classifier has 0, 1, 2, 3, 4, 5, 6, 7, 8, 9'),
        ('grad_cam', (*ALL, '--stride', 3), '--stride 3: classifier has feature maps of the strides'),
        ('waves', (*CLASSIFIER, 'digits/2.png'), 'digits/2.png: no such file or folder'),
        ('waves', ALL, 'digits: is a folder'),
        ('waves', (*ONE, '--stage', 5), '--stage 5: classifier has the stages 1 to 4'),
        ('waves', (*ONE, '--block', 2), '--block 2: stage 1 of classifier has the blocks 1 to 1'),
        ('waves', (*ONE, '--at', 3, 32), '--at 3 32: the input has 32 x 32 pixels'),
        ('waves', (*ONE, '--count', 0), '--count 0: this CMixer has 1 to 8 waves'),
        ('erf', (*ALL, '--stage', 0), '--stage 0: classifier has the stages 1 to 4'),
        ('erf', (*ALL, '--stage', 5), '--stage 5: classifier has the stages 1 to 4'),
        ('erf', (*ALL, '--size', 16), '--size 16: must be at least 32 pixels'),
        ('erf', (*ALL, '--probes', 0), '--probes 0: must be at least 1'),
        ('interaction_order', (*DETECTOR, 'digits'), 'detector: is a detector'),
        ('interaction_order', (*ALL, '--grid', 1), '--grid 1: must be 2 to 32'),
        ('interaction_order', (*ALL, '--grid', 33), '--grid 33: must be 2 to 32'),
        ('interaction_order', (*ALL, '--shares', 0.5, 1.5), '--shares 1.5: must be from 0 to 1'),
        ('interaction_order', (*ALL, '--contexts', 0), '--contexts 0: must be at least 1'),
    ],
)
def test_what_is_wrong_is_named(tool, arguments, message, folder):
    out = 'wrong' if tool == 'grad_cam' else 'wrong.png'
    assert last_line(f'analysis_tools/{tool}.py', *arguments, '--out', out, cwd=folder).startswith(message)
