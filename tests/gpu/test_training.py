"""Trainings on the GPU: mixed precision, NCCL, synchronized batch statistics, resuming, and the scripts."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmspartan.benchmark.record import read_record
from mmspartan.runs.auto_batch import auto_batch
from mmspartan.runs.work_dir import latest_checkpoint
from tests.conftest import DATA, ROOT, make_digits
from tests.runs.conftest import same_result, train  # noqa: F401 - a fixture

AMP = {'optim_wrapper.type': 'AmpOptimWrapper', 'optim_wrapper.loss_scale': 'dynamic', 'randomness.deterministic': True}


def test_resumed_ends_as_an_unbroken_run(deterministic, train):  # noqa: F811
    whole = train('whole', **AMP)
    killed = train('killed', kill=('after_train_iter', 12), **AMP)
    train('killed', resume=latest_checkpoint(killed), **AMP)
    assert same_result(killed, whole)
    saved = torch.load(killed / 'epoch_2.pth', weights_only=True)
    assert saved['optimizer']['loss_scaler']['scale'] > 0


@pytest.fixture(scope='module')
def project(tmp_path_factory, run_on_gpu) -> Path:
    """A project with a small detector, trained by NCCL and in mixed precision with SyncBN for one epoch of two."""
    folder = tmp_path_factory.mktemp('project')
    shutil.copy(DATA / 'rtdetr_quick.py', folder / 'mine.py')
    make_digits(folder, 32, 6)
    options = ['--amp', '--cfg-options', 'sync_bn=torch', 'default_hooks.logger.interval=1']
    (folder / 'log').write_text(run_on_gpu('dist_train.sh', 'mine.py', 1, *options, cwd=folder))
    return folder


@pytest.fixture
def checkpoint(project) -> Path:
    return project / 'work_dirs' / 'mine' / 'epoch_1.pth'


def test_one_process_trains_by_nccl(project, checkpoint):
    log = (project / 'log').read_text()
    assert re.search(r'Distributed training: True', log) and re.search(r'bbox_mAP_copypaste', log)
    assert [int(found) for found in re.findall(r'memory: (\d+)', log)]  # which mmengine logs only on GPUs
    saved = torch.load(checkpoint, weights_only=True)
    assert saved['optimizer']['loss_scaler'] and saved['state_dict']['bbox_head.cls_branches.0.bias'].isfinite().all()


def test_resumed_in_mixed_precision(project, run_on_gpu):
    options = ['--amp', '--resume', '--cfg-options', 'train_cfg.max_epochs=2', 'sync_bn=torch']
    log = run_on_gpu('train.py', 'mine.py', *options, cwd=project)
    assert 'resumed epoch: 1, iter: 8' in log
    assert (project / 'work_dirs' / 'mine' / 'epoch_2.pth').is_file()


@pytest.mark.parametrize('amp', [False, True])
def test_evaluation(amp, project, checkpoint, run_on_gpu):
    printed = run_on_gpu('test.py', 'mine.py', checkpoint, *(['--amp'] if amp else []), cwd=project)
    assert len(re.findall(r'bbox_mAP_copypaste: ([-\d. ]+)', printed)[-1].split()) == 6


def test_images_are_drawn(project, checkpoint, run_on_gpu):
    run_on_gpu('image_demo.py', 'digits/val', 'mine.py', checkpoint, '--device', 'cuda:0', cwd=project)
    assert len(list((project / 'outputs' / 'vis').iterdir())) == 6
    assert len(json.loads((project / 'outputs' / 'preds' / '00000.json').read_text())['bboxes']) == 10


def test_times_of_all_forms_on_the_gpu(project, run_on_gpu):
    models = ['mine.py', 'mine.py@cl', 'mine.py@deploy', 'mine.py@deploy+compile', 'mine.py@deploy+graph']
    options = ['--dtype', 'float16', '--repeats', 2, '--batch-size', 2]
    printed = run_on_gpu('analysis_tools/benchmark.py', *models, *options, cwd=project)
    assert 'float16' in printed and torch.cuda.get_device_name() in printed
    sizes = re.findall(r'^\| mine@.* ([\d-]+)(?: MB)? \|$', printed, re.M)  # of the memory, in the last column
    assert len(sizes) == len(models) and sizes.pop() == '-' and all(int(size) > 0 for size in sizes)


@pytest.mark.parametrize(
    ('dtype', 'forms', 'options'),
    [
        ('float32', ['eager', 'with_cp'], ['--train']),
        ('bfloat16', ['eager', 'compile'], ['--train']),
        ('bfloat16', ['eager', 'deploy+compile'], []),
    ],
)
def test_times_and_memory_of_the_published_network(dtype, forms, options, run_on_gpu, tmp_path):
    config = ROOT / 'configs' / 'spartan_xt_in1k.py'
    models = [f'{config}@{form}' for form in forms]
    sizes = ['--size', 64, '--batch-size', 4, '--repeats', 2, '--dtype', dtype, '--json', 'a.json']
    run_on_gpu('analysis_tools/benchmark.py', *models, 'timm/resnet18', *sizes, *options, cwd=tmp_path)
    measured = read_record(tmp_path / 'a.json')['models']
    assert [*measured] == [f'spartan_xt_in1k@{form}' for form in forms] + ['timm/resnet18@eager']
    for model in measured.values():
        assert min(model.times) > 0 and model.peak_memory > 0 and (model.saved is None) == (not options)


def test_largest_batch(project, run_on_gpu):
    options = ['--amp', '--no-validate', '--auto-batch', '--work-dir', 'batch']
    printed = run_on_gpu('train.py', 'mine.py', *options, cwd=project)
    assert '--auto-batch: train_dataloader.batch_size=2' in printed  # 32 images are no 20 batches of more


def test_largest_batch_is_that_of_the_memory(project, monkeypatch):
    monkeypatch.chdir(project)
    cfg = Config.fromfile('mine.py')
    cfg.train_dataloader.dataset.indices = [0] * 20000
    total = torch.cuda.get_device_properties(0).total_memory
    monkeypatch.setattr('mmspartan.runs.auto_batch.SHARE', 0.5e9 / total)
    torch.cuda.empty_cache()
    assert 8 <= auto_batch(cfg) < 512
    assert torch.cuda.max_memory_allocated() < 0.5e9  # of a batch of 4
