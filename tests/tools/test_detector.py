"""The detector through command lines: ours, and mmdet's own from its wheel, outside the repository."""

import json
import pickle
import re
import shutil
import subprocess
from pathlib import Path
from unittest import mock

import cv2
import mmdet
import numpy as np
import pytest
import torch
from mmdet.apis import DetInferencer, inference_detector, init_detector

from tests.conftest import DATA, ROOT, last_line, make_digits, refusal, run_script
from tests.docs.scripts import run_here

OWN = ROOT / 'tools'
MMDET = Path(mmdet.__path__[0]) / '.mim' / 'tools'


def average_precision(output: str) -> list[str]:
    return re.findall(r'bbox_mAP_copypaste: ([-\d. ]+)', output)[-1].split()


@pytest.fixture(scope='module')
def project(tmp_path_factory) -> Path:
    """Somebody's project: a config that inherits from ours, data, and a checkpoint of mmdet's own training script."""
    folder = tmp_path_factory.mktemp('project')
    shutil.copy(DATA / 'rtdetr_quick.py', folder / 'mine.py')
    make_digits(folder, 8, 6)
    options = ['default_hooks.validation_loss.type=ValidationLossHook', 'val_evaluator.classwise=True']
    run_script(MMDET / 'train.py', 'mine.py', '--cfg-options', *options, cwd=folder)
    return folder


@pytest.fixture
def checkpoint(project) -> Path:
    return project / 'work_dirs' / 'mine' / 'epoch_1.pth'


def test_log_has_the_loss_on_the_validation_set_and_the_ap_of_each_class(project):
    (log,) = project.glob('work_dirs/mine/*/vis_data/scalars.json')
    evaluated = json.loads(log.read_text().splitlines()[-1])
    assert 0 < evaluated['val_loss'] < 100
    assert [f'coco/{name}_precision' in evaluated for name in range(10)] == [True] * 10


def test_mmdets_own_scripts_and_ours_agree(project, checkpoint):
    theirs = run_script(MMDET / 'test.py', 'mine.py', checkpoint, cwd=project)
    options = ['--out', 'out.pkl', '--show-dir', 'shown', '--cfg-options', 'test_evaluator.classwise=False']
    with mock.patch('mmengine.device.utils.DEVICE', 'cpu'):  # as without a GPU
        ours = run_here(OWN / 'test.py', 'mine.py', checkpoint, *options, cwd=project)
    assert average_precision(theirs) == average_precision(ours) and len(average_precision(ours)) == 6
    assert len(pickle.loads((project / 'out.pkl').read_bytes())) == 6
    assert len(list(project.glob('shown/*.png'))) == 6


def test_mmdets_own_functions_read_our_checkpoints(project, checkpoint):
    model = init_detector(str(project / 'mine.py'), str(checkpoint), device='cpu')
    found = inference_detector(model, np.zeros((64, 64, 3), np.uint8))
    assert len(found.pred_instances) == 10 and model.dataset_meta['classes'] == tuple('0123456789')


def test_images_and_videos_are_drawn_and_written(project, checkpoint):
    run_script(OWN / 'image_demo.py', 'digits/val', 'mine.py', checkpoint, cwd=project)
    assert len(list((project / 'outputs' / 'vis').iterdir())) == 6
    prediction = json.loads((project / 'outputs' / 'preds' / '00000.json').read_text())
    assert len(prediction['bboxes']) == len(prediction['scores']) == 10
    assert prediction['names'] == [str(label) for label in prediction['labels']]

    writer = cv2.VideoWriter(str(project / 'film.mp4'), cv2.VideoWriter_fourcc(*'mp4v'), 5, (64, 64))
    for path in sorted((project / 'digits' / 'val').iterdir())[:3]:
        writer.write(cv2.imread(str(path)))
    writer.release()
    run_here(OWN / 'image_demo.py', 'film.mp4', 'mine.py', checkpoint, '--out-dir', 'filmed', cwd=project)
    assert len(json.loads((project / 'filmed' / 'preds' / 'film.json').read_text())) == 3
    assert cv2.VideoCapture(str(project / 'filmed' / 'vis' / 'film.mp4')).get(cv2.CAP_PROP_FRAME_COUNT) == 3


@pytest.mark.parametrize('options', [[], ['--slice', 48, '--overlap', 0.5, '--batch-size', 4]])
def test_images_that_cannot_be_read_are_left_out_and_named(options, project, checkpoint):
    shutil.copytree(project / 'digits' / 'val', project / 'some', dirs_exist_ok=True)
    (project / 'some' / '00001.png').write_bytes(b'')
    picture = cv2.imencode('.jpg', np.full((64, 64, 3), (255, 0, 0), np.uint8))[1].tobytes()
    half = len(picture) // 2
    (project / 'some' / 'zeros.jpg').write_bytes(picture[:half] + bytes(half) + b'\xff\xd9')  # its ends are right
    if not (project / 'some' / 'gone.png').is_symlink():
        (project / 'some' / 'gone.png').symlink_to('nothing')
    out = 'sliced' if options else 'partly'
    told = refusal('image_demo.py', 'some', 'mine.py', checkpoint, '--out-dir', out, *options, cwd=project)
    left_out = [
        'left out:',
        'some/00001.png: is empty',
        'some/gone.png: ',
        'some/zeros.jpg: is ',
    ]  # OpenCV or Pillow finds it
    assert all(line.startswith(start) for line, start in zip(told.splitlines(), left_out, strict=True))
    assert len(list((project / out / 'vis').iterdir())) == len(list((project / out / 'preds').iterdir())) == 5


def test_each_image_of_a_tree_has_results_of_its_own(project, checkpoint):
    source = project / 'digits' / 'val' / '00000.png'
    image = cv2.imread(str(source))
    (project / 'tree' / 'sub').mkdir(parents=True)
    for name in ('a.jpg', 'a.png', 'sub/a.png', 'c.gif'):
        cv2.imwrite(str(project / 'tree' / name), image)
    (project / 'tree' / 'd.jfif').write_bytes((project / 'tree' / 'a.jpg').read_bytes())
    (project / 'tree' / 'labels.txt').touch()
    (project / 'tree' / '.thumbs').mkdir()
    for hidden in ('._a.png', '.thumbs/a.png'):
        (project / 'tree' / hidden).touch()
    (project / 'tree' / 'folder.png').mkdir()
    (project / 'tree' / 'linked').symlink_to('sub')
    output = run_here(OWN / 'image_demo.py', 'tree', 'mine.py', checkpoint, '--out-dir', 'tree/out', cwd=project)
    assert all(f'tree/{name}' in output for name in ('labels.txt', 'linked', 'folder.png'))
    assert output.splitlines()[-1].endswith(': tree/._a.png, tree/.thumbs/a.png')  # hidden
    written = {str(path.relative_to(project / 'tree' / 'out')) for path in project.glob('tree/out/**/*.*')}
    assert written == {
        *(f'preds/{name}.json' for name in ('a.jpg', 'a.png', 'sub/a', 'c', 'd')),
        *(f'vis/{name}' for name in ('a.jpg', 'a.png', 'sub/a.png', 'c.gif.jpg', 'd.jfif.jpg')),
    }


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['digits/val.json', 'mine.py'], 'digits/val.json: is no image that can be read; videos end with'),
        (['film.mp4.d', 'mine.py'], 'film.mp4.d: no image in it'),
        (['/dev/zero', 'mine.py'], '/dev/zero: neither a file nor a folder'),
        (['film.mp4', 'mine.py'], '^film.mp4: '),
        (['nothing.png', 'mine.py'], 'nothing.png: no such image'),
        (['digits/val', 'mine.py', '--batch-size', '0'], '^--batch-size 0: must be from 1 to '),
        (['digits/val', 'mine.py', '--score-thr', '30'], '^--score-thr 30: must be from 0 to 1$'),
        (['digits/val', 'mine.py', '--slice', '8'], '^--slice 8: must be at least 32 pixels$'),
        (['digits/val', 'mine.py', '--slice', '64', '--overlap', '1'], '^--overlap 1.0: must be at least 0 and less'),
        (['digits/val', ROOT / 'configs' / 'spartan_xt_digits.py'], 'spartan_xt_digits.py: not a detector'),
        (['digits/val', ROOT / 'configs' / 'rtdetr_spartan_t_coco.py'], r'does not fit the model: \d+ of its \d+'),
        (
            ['digits/val', 'misspelt.py'],
            r"misspelt.py: model\.neck \(.*\): TypeError: .*unexpected keyword argument 'hidden_chanels'",
        ),
        (['digits/val', 'broken.py'], 'broken.py: .*was never closed'),
    ],
)
def test_demo_refuses_in_one_line(arguments, message, project, checkpoint):
    (project / 'film.mp4').write_bytes(b'no film')
    (project / 'film.mp4.d').mkdir(exist_ok=True)
    (project / 'misspelt.py').write_text("_base_ = 'mine.py'\nmodel = dict(neck=dict(hidden_chanels=64))\n")
    (project / 'broken.py').write_text('model = dict(\n')
    arguments[2:2] = [checkpoint]
    assert re.search(message, last_line('image_demo.py', *arguments, cwd=project))


def test_checkpoint_of_the_classes_in_another_order_is_not_evaluated_nor_drawn(project, checkpoint):
    content = torch.load(checkpoint)
    content['meta']['dataset_meta']['classes'] = tuple('1023456789')
    torch.save(content, project / 'turned.pth')
    for line in (
        last_line('test.py', 'mine.py', 'turned.pth', cwd=project),
        last_line('train.py', 'mine.py', '--work-dir', 'new', '--cfg-options', 'load_from=turned.pth', cwd=project),
        last_line('image_demo.py', 'digits/val', 'mine.py', 'turned.pth', cwd=project),
    ):
        assert re.match(r'turned\.pth: has 10 classes \(1, 0, 2, .* in another order than the 10 of .*\(0, 1, 2', line)


def test_weights_for_the_backbone_under_another_prefix_are_refused(project, checkpoint):
    options = [
        f'model.backbone.init_cfg.{key}' for key in ('type=Pretrained', f'checkpoint={checkpoint}', 'prefix=stem.')
    ]
    line = last_line('train.py', 'mine.py', '--work-dir', 'new', '--cfg-options', *options, cwd=project)
    assert re.match(r"model\.backbone\.init_cfg: .*epoch_1\.pth has no weight of SpaRTAN with prefix='stem\.'", line)


def test_without_coco_the_main_command_says_how_to_get_it(run_tool):
    result = run_tool('train.py', ROOT / 'configs' / 'rtdetr_spartan_t_coco.py')
    printed = re.sub('Could not import .*\n', '', result.stdout)  # by a fork
    assert result.returncode == 1 and not printed
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith('data/coco/: not there (train_dataloader.dataset.data_root); put COCO 2017 under data/coco')


def test_full_disk_is_one_line_and_keeps_the_last_checkpoint(project, checkpoint):
    disk = project / 'disk'
    disk.mkdir()
    size = f'size={int(3.2 * checkpoint.stat().st_size) + 1_000_000}'  # for two checkpoints and the best one
    if subprocess.run(['mount', '-t', 'tmpfs', '-o', size, 'tmpfs', disk], check=False).returncode:
        pytest.skip('mounting a small disk takes root')
    try:
        options = ['--cfg-options', 'train_cfg.max_epochs=9']
        line = last_line('train.py', 'mine.py', '--work-dir', 'disk/run', *options, cwd=project)
        assert re.search(r'disk/run/\S+: No space left on device; free some space and go on with --resume', line)
        kept = (disk / 'run' / 'last_checkpoint').read_text()
        assert torch.load(project / kept)['meta']['epoch'] >= 1 and not list(disk.rglob('*.part'))
    finally:
        subprocess.run(['umount', '--lazy', disk], check=True)  # the log is still open


def test_gray_images_are_detected_in(project, checkpoint, monkeypatch):
    monkeypatch.chdir(project)
    inferencer = DetInferencer('mine.py', str(checkpoint), device='cpu', show_progress=False)
    gray = cv2.imread('digits/val/00000.png', cv2.IMREAD_GRAYSCALE)
    colour = np.stack([gray] * 3, -1)
    scores = [inferencer(array)['predictions'][0]['scores'] for array in (gray, gray[..., None], colour)]
    assert scores[0] == scores[1] == scores[2]
    cv2.imwrite('gray.pgm', gray)
    run_here(OWN / 'image_demo.py', 'gray.pgm', 'mine.py', checkpoint, '--out-dir', 'gray', cwd=project)
    assert json.loads((project / 'gray' / 'preds' / 'gray.json').read_text())['scores'] == pytest.approx(scores[0])
