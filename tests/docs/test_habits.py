"""Everyday commands and config entries of the documentation, run as they are written.

What other tests run is not repeated: resuming (``tests/tools/test_digits.py``), mmpretrain's dataset browser
(``tests/tools/test_stack_tools.py``).
"""

import json
import re
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import cv2
import mmdet
import mmpretrain
import numpy as np
import pytest
import torch
from mmcv.transforms import Compose
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData

from mmspartan.stack import release
from tests.conftest import DATA, ROOT, build_model, make_digits, run_script
from tests.docs.documents import documented_code, documented_command
from tests.docs.scripts import run_here

PACKAGES = {
    '$MMDET': str(Path(mmdet.__path__[0], '.mim')),
    '$MMPRETRAIN': str(Path(mmpretrain.__path__[0], '.mim')),
    'tools/': f'{ROOT}/tools/',
    'configs/spartan_xt_digits.py': 'classifier.py',
    'configs/rtdetr': f'{ROOT}/configs/rtdetr',
    'work_dirs/mine/epoch_70.pth': 'work_dirs/mine/epoch_1.pth',
}


def run_documented(page: str, text: str, *more: object, cwd: Path, **replaced: str) -> str:
    """Run the command of a page that contains a text, on the quick configs."""
    program, *words = documented_command(page, text)
    assert program == 'python'
    for old, new in {**PACKAGES, **replaced}.items():
        words = [new + word.removeprefix(old) if word.startswith(old) else word for word in words]
    return run_here(Path(words[0]), *words[1:], *more, cwd=cwd)


pytestmark = pytest.mark.usefixtures('one_thread')


@pytest.fixture(scope='module')
def project(tmp_path_factory) -> Path:
    """Somebody's project: two configs, data, a trained detector and a trained classifier."""
    folder = tmp_path_factory.mktemp('project')
    make_digits(folder, 8, 4, out='data/mine')
    detector = (DATA / 'rtdetr_quick.py').read_text().replace('digits/', 'data/mine/')
    (folder / 'mine.py').write_text(detector)
    shutil.copy(DATA / 'digits_quick.py', folder / 'classifier.py')
    for name in ('mine.py', 'classifier.py'):
        run_here(ROOT / 'tools' / 'train.py', name, cwd=folder)
    return folder


@pytest.fixture(scope='module')
def predictions(project) -> Path:
    """The project with saved predictions of its detector."""
    run_documented('evaluation.md', 'outfile_prefix=found', cwd=project)
    return project


@pytest.fixture(scope='module')
def classified(project) -> Path:
    """A folder of the project with saved predictions of its classifier."""
    folder = project / 'classified'
    folder.mkdir()
    shutil.copy(DATA / 'digits_quick.py', folder / 'classifier.py')
    checkpoint = project / 'work_dirs' / 'classifier' / 'epoch_1.pth'
    run_documented('evaluation.md', 'CHECKPOINT --out predictions.pkl', cwd=folder, CHECKPOINT=str(checkpoint))
    return folder


def train_with(code: str, name: str, project: Path, base: str = 'mine.py', *options: str) -> Path:
    """Train a config of the project with what a page adds to it; returns the work dir."""
    (project / f'{name}.py').write_text(f"_base_ = '{base}'\n{code}")
    run_here(ROOT / 'tools' / 'train.py', f'{name}.py', *options, cwd=project)
    return project / 'work_dirs' / name


def is_drawn(path: Path) -> bool:
    picture = cv2.imread(str(path))
    return picture is not None and picture.min() < picture.max()


def test_average_precision_of_each_class(project):
    run_documented('evaluation.md', 'classwise=True', '--out', 'ap.json', '--out-item', 'metrics', cwd=project)
    metrics = json.loads((project / 'ap.json').read_text())
    assert {f'coco/{digit}_precision' for digit in range(10)} < set(metrics)


def test_report_on_a_detector(project):
    run_documented('evaluation.md', 'evaluate.py mine.py work_dirs', cwd=project)
    assert (project / 'report' / 'report.html').exists()
    run_documented('evaluation.md', 'evaluate.py mine.py --predictions report', cwd=project)
    assert json.loads((project / 'report_05' / 'metrics.json').read_text())['score_thr'] == 0.5


def test_confusion_matrix_of_a_detector(predictions):
    run_documented('evaluation.md', 'confusion_matrix.py mine.py', cwd=predictions)
    assert is_drawn(predictions / 'confusion' / 'confusion_matrix.png')


def test_error_analysis(predictions, monkeypatch):
    monkeypatch.chdir(predictions)
    exec(documented_code('evaluation.md', 'What kind of errors'), {})
    _, script, *arguments = documented_command('evaluation.md', 'coco_error_analysis.py')
    run_script(script.replace('$MMDET', PACKAGES['$MMDET']), *arguments, cwd=predictions)
    assert is_drawn(predictions / 'errors' / 'bbox' / 'bbox-allclass-allarea.png')


def test_best_and_worst_images_of_a_detector(predictions):
    run_documented('evaluation.md', 'analyze_results.py mine.py', '--topk', '1', cwd=predictions)
    drawn = list(predictions.glob('sorted/**/*.png'))
    assert len(drawn) == 2 and all(map(is_drawn, drawn))


def test_dataset_browser_of_a_detector(project):
    run_documented('evaluation.md', 'browse_dataset.py mine.py', cwd=project)
    assert len([path for path in (project / 'browsed').iterdir() if is_drawn(path)]) == 8


def test_precision_and_recall_of_each_class_of_a_classifier(classified):
    printed = run_documented('evaluation.md', 'eval_metric.py', cwd=classified)
    assert len(re.search(r"'single-label/recall_classwise': \[(.*?)\]", printed, re.DOTALL).group(1).split(',')) == 10


def test_confusion_matrix_of_a_classifier(classified):
    run_documented('evaluation.md', 'confusion_matrix.py configs/spartan_xt_digits.py', cwd=classified)
    assert is_drawn(classified / 'confusion.png')


def test_best_and_worst_images_of_a_classifier(classified):
    run_documented('evaluation.md', 'analyze_results.py configs/spartan_xt_digits.py', '--topk', '1', cwd=classified)
    assert len(list(classified.glob('sorted/*/*.png'))) == 2


def test_test_time_augmentation_of_a_detector(project):
    code = documented_code('evaluation.md', 'Test-time augmentation').replace('(640, 640)', '(64, 64)')
    (project / 'augmented.py').write_text(f"_base_ = 'mine.py'\n{code}")
    options = ('--out', 'tta.pkl')
    run_documented('evaluation.md', '70.pth --tta', *options, cwd=project, **{'mine.py': 'augmented.py'})
    assert (project / 'tta.pkl').stat().st_size > 0


def test_learning_rate_of_a_classifier_is_drawn(project):
    run_documented('training.md', 'vis_scheduler.py configs/spartan_xt_digits.py', cwd=project)
    assert is_drawn(project / 'lr.png')


def test_learning_rate_of_a_detector_is_drawn(project):
    (project / 'lr.png').unlink(missing_ok=True)
    run_documented('training.md', 'vis_scheduler.py configs/rtdetr', cwd=project, **{'118287': '1000'})
    assert is_drawn(project / 'lr.png')


def test_accumulated_gradients_make_fewer_steps(project):
    run_documented('training.md', 'accumulative_counts=4', '--work-dir', 'accumulated', cwd=project)
    optimizer = torch.load(project / 'accumulated' / 'epoch_1.pth')['optimizer']
    assert {int(state['step']) for state in optimizer['state'].values()} == {1}  # of two batches


def test_training_stops_early(project):
    code = documented_code('training.md', 'Stop early').replace('patience=10', 'patience=2')
    work_dir = train_with(code, 'early', project, 'mine.py', '--cfg-options', 'train_cfg.max_epochs=9')
    assert (work_dir / 'last_checkpoint').read_text().endswith('epoch_3.pth')


def test_frozen_backbone_is_not_trained(project):
    run_documented('training.md', 'frozen_stages=4', '--work-dir', 'frozen', cwd=project)
    checkpoint = torch.load(project / 'frozen' / 'epoch_1.pth')
    trained = sum(len(group['params']) for group in checkpoint['optimizer']['param_groups'])
    model = build_model(Config.fromfile(project / 'mine.py').model)
    assert trained == sum(not name.startswith('backbone.') for name, _ in model.named_parameters())


def test_averaged_weights_off_and_on(project):
    off, on = (documented_code('training.md', 'Averaged weights (EMA)', number) for number in (0, 1))
    with_average = torch.load(project / 'work_dirs' / 'mine' / 'epoch_1.pth')
    assert 'ema_state_dict' in with_average
    assert 'ema_state_dict' not in torch.load(train_with(off, 'without', project) / 'epoch_1.pth')
    assert 'ema_state_dict' in torch.load(train_with(on, 'averaged', project, 'classifier.py') / 'epoch_1.pth')


def test_backends_of_the_visualizer_get_the_losses(project, monkeypatch):
    """With stand-ins for the packages, which are not part of the tested stack; what they are called with counts."""
    packages = SimpleNamespace(tensorboard=mock.MagicMock(), wandb=mock.MagicMock(), mlflow=mock.MagicMock())
    packages.mlflow.get_experiment_by_name.return_value = None
    monkeypatch.setitem(sys.modules, 'torch.utils.tensorboard', packages.tensorboard)
    monkeypatch.setitem(sys.modules, 'wandb', packages.wandb)
    monkeypatch.setitem(sys.modules, 'mlflow', packages.mlflow)
    entries = re.findall(r"`(dict\(type='\w+VisBackend'.*?\))` \|", (ROOT / 'docs' / 'training.md').read_text())
    assert len(entries) == 3
    code = documented_code('training.md', 'TensorBoard, W&B, MLflow')
    train_with(code.replace("dict(type='TensorboardVisBackend')", ', '.join(entries)), 'drawn', project)
    tensorboard = packages.tensorboard.SummaryWriter().add_scalar
    for called in (tensorboard, packages.wandb.log, packages.mlflow.log_metrics):
        assert 'coco/bbox_mAP' in str(called.mock_calls)
    assert packages.wandb.init.call_args.kwargs['project'] == 'spartan'


def test_backbone_of_timm_in_rtdetr(project):
    code = documented_code('own-project.md', 'A backbone from timm in RT-DETR')
    work_dir = train_with(code.split('\n', 1)[1], 'timm_backbone', project)  # on the quick config
    weights = torch.load(work_dir / 'epoch_1.pth')['state_dict']
    assert any(key.startswith('backbone.timm_model.') for key in weights)


def test_mixer_and_head_of_ones_own_train(project, monkeypatch):
    modules = (documented_code('extending.md', 'A mixer'), documented_code('extending.md', 'A head or a loss'))
    (project / 'my_modules.py').write_text('\n'.join(modules))
    imports = documented_code('extending.md', 'Extending')
    settings = [documented_code('extending.md', heading, 1) for heading in ('A mixer', 'A head or a loss')]
    (project / 'mixed.py').write_text(f"_base_ = 'mine.py'\n{imports}{settings[0]}")
    monkeypatch.syspath_prepend(project)
    work_dir = train_with(settings[1], 'extended', project, 'mixed.py')
    weights = torch.load(work_dir / 'epoch_1.pth')['state_dict']
    assert weights['backbone.stages.0.0.smixer.conv.weight'].shape == (8, 1, 7, 7)


def test_rule_of_ones_own_folds():
    from mmspartan.deploy import deploy

    names = {}
    exec(documented_code('extending.md', 'Folding it for inference'), names)
    model = torch.nn.Sequential(names['JoinedConvs'](torch.nn.Conv2d(4, 6, 1), torch.nn.Conv2d(6, 5, 1))).eval()
    folded, x = deploy(model), torch.randn(2, 4, 3, 3)
    assert type(folded[0]) is torch.nn.Conv2d
    torch.testing.assert_close(folded(x), model(x))


@pytest.mark.skipif(release(torch.__version__) < (2, 6), reason='torch.export of 2.1 does not take the detector')
def test_exporter_of_ones_own_gives_what_the_graph_gives(project, monkeypatch):
    monkeypatch.chdir(project)
    shutil.copy(project / 'work_dirs' / 'mine' / 'epoch_1.pth', project / 'detector.pth')
    names = {}
    exec(documented_code('extending.md', 'An exporter').replace('640, 640', '64, 64'), names)
    program, inputs = torch.export.load(project / 'm.pt2').module(), tuple(names['inputs'].values())
    torch.testing.assert_close(program(*inputs), names['build_graph'](names['model'])(*inputs))


@pytest.mark.parametrize('heading', ['RetinaNet', 'Faster R-CNN'])
def test_spartan_in_another_detector(heading, tmp_path):
    (tmp_path / 'mine.py').write_text(documented_code('own-project.md', heading))
    size = (96, 128)
    sample = DetDataSample(metainfo=dict(img_shape=size, pad_shape=size, ori_shape=size, scale_factor=(1.0, 1.0)))
    sample.gt_instances = InstanceData(bboxes=torch.tensor([[10.0, 10.0, 60.0, 80.0]]), labels=torch.tensor([3]))
    model = build_model(Config.fromfile(tmp_path / 'mine.py').model)
    losses = model.loss(torch.randn(1, 3, *size), [sample])
    sum(sum(loss) if isinstance(loss, list) else loss for key, loss in losses.items() if 'loss' in key).backward()
    predicted = model.eval().predict(torch.randn(1, 3, *size), [sample])
    assert all(parameter.grad is not None for parameter in model.backbone.parameters())
    assert 'bboxes' in predicted[0].pred_instances


def test_a_classifier_on_folders_takes_smaller_images(tmp_path):
    heading = 'A classifier on folders of images'
    before, loaders, after = documented_code('own-data.md', heading).partition('train_dataloader = ')
    smaller = documented_code('own-data.md', heading, 1)
    (tmp_path / 'mine.py').write_text(before + smaller + loaders + after)
    cfg = Config.fromfile(tmp_path / 'mine.py')
    cv2.imwrite(str(tmp_path / 'image.png'), np.zeros((150, 200, 3), np.uint8))
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            packed = Compose(loader.dataset.pipeline)(dict(img_path=str(tmp_path / 'image.png'), gt_label=0))
        assert packed['inputs'].shape == (3, 96, 96)
