"""Training and evaluation through the command line, on real digits."""

import json
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mmspartan import config_path
from tests.checkpoints.test_checkpoint import Call
from tests.conftest import DATA, ROOT, last_line
from tests.docs.scripts import run_here

DIGITS = config_path('spartan_xt_digits')
QUICK = DATA / 'digits_quick.py'
TOOLS = ROOT / 'tools'
FEW = ('--cfg-options', 'train_dataloader.dataset.indices=256')  # of 1438 digits


def accuracy(output: str, phase: str) -> float:
    """The last top-1 that a log prints for a phase."""
    return float(re.findall(rf'Epoch\({phase}\).*?accuracy/top1: ([\d.]+)', output)[-1])


@pytest.fixture(scope='module')
def trained(tmp_path_factory) -> tuple[Path, str]:
    """Work dir and output of a quick training of one epoch."""
    folder = tmp_path_factory.mktemp('trained')
    command = [sys.executable, TOOLS / 'train.py', QUICK, *FEW]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-2000:]
    return folder / 'work_dirs' / 'digits_quick', result.stdout + result.stderr


def test_work_dir_is_named_after_the_config(trained):
    work_dir, _ = trained
    assert (work_dir / 'last_checkpoint').read_text().endswith('digits_quick/epoch_1.pth')
    assert not list(work_dir.glob('*.part'))


def test_evaluation_of_the_checkpoint_prints_the_figure_of_training(trained, run_tool, tmp_path):
    work_dir, output = trained
    result = run_tool(
        *('test.py', QUICK, work_dir / 'epoch_1.pth', '--out', 'metrics.json', '--out-item', 'metrics'),
        *('--show-dir', 'drawn', '--cfg-options', 'default_hooks.visualization.interval=100'),
    )
    assert result.returncode == 0, result.stderr[-2000:]
    measured = accuracy(result.stdout + result.stderr, 'test')
    assert measured == accuracy(output, 'val')
    assert json.loads((tmp_path / 'metrics.json').read_text())['accuracy/top1'] == pytest.approx(measured, abs=1e-3)
    assert len(list((tmp_path / 'drawn').glob('*.png'))) == 4  # of 359, every hundredth


def test_predictions_are_dumped_for_each_image(trained, tmp_path):
    run_here(TOOLS / 'test.py', QUICK, trained[0] / 'epoch_1.pth', '--out', 'predictions.pkl', cwd=tmp_path)
    predictions = pickle.loads((tmp_path / 'predictions.pkl').read_bytes())
    assert len(predictions) == 359 and predictions[0]['pred_score'].shape == (10,)


def test_resume_goes_on_with_optimizer_and_epoch(trained, tmp_path):
    work_dir, _ = trained
    command = [QUICK, '--work-dir', work_dir, '--resume', '--no-validate', *FEW, 'train_cfg.max_epochs=2']
    assert 'resumed epoch: 1' in run_here(TOOLS / 'train.py', *command, cwd=tmp_path)
    first, second = (torch.load(work_dir / f'epoch_{n}.pth')['optimizer']['state'][0]['step'] for n in (1, 2))
    assert second == 2 * first == 2 * (256 // 32)


def test_first_start_with_resume_has_the_weights_of_load_from(trained, tmp_path):
    """A script that always says --resume must not train from random weights."""
    weights, options = trained[0] / 'epoch_1.pth', ['optim_wrapper.optimizer.lr=0.0', 'train_cfg.max_epochs=1']
    output = run_here(TOOLS / 'train.py', QUICK, '--resume', *FEW, f'load_from={weights}', *options, cwd=tmp_path)
    assert f'training starts from {weights}' in output
    found = torch.load(tmp_path / 'work_dirs' / 'digits_quick' / 'epoch_1.pth', weights_only=True)['state_dict']
    expected = torch.load(weights, weights_only=True)['state_dict']
    assert found['head.fc.weight'].equal(expected['head.fc.weight'])
    output = run_here(TOOLS / 'train.py', QUICK, '--no-validate', *FEW, 'train_cfg.max_epochs=1', cwd=tmp_path)
    assert 'epoch_1.pth is of an earlier training, whose files this one may overwrite' in output


def test_learning_rate_scales_with_the_batch(tmp_path):
    options = ['train_dataloader.batch_size=16', 'train_dataloader.dataset.indices=32', 'param_scheduler=[]']
    command = [QUICK, '--auto-scale-lr', '--no-validate', '--cfg-options', 'default_hooks.logger.interval=1', *options]
    printed = run_here(TOOLS / 'train.py', *command, cwd=tmp_path)
    assert re.findall(r' lr: (\S+)', printed)[0] == '1.0000e-03'
    assert 'Epoch(val)' not in printed


@pytest.mark.parametrize('script', ['test.py', 'train.py'])
def test_checkpoint_that_would_run_code_is_refused_in_one_line(script, tmp_path):
    torch.save(dict(state_dict={}, payload=Call(os.system, 'touch ran')), tmp_path / 'evil.pth')
    given = ['evil.pth'] if script == 'test.py' else ['--resume', 'evil.pth']
    told = last_line(script, QUICK, *given, cwd=tmp_path)
    assert re.search(r'^evil\.pth: refused\. Reading it would use .*posix\.system', told)
    assert not (tmp_path / 'ran').exists()


def test_damaged_checkpoint_is_called_damaged(trained, tmp_path):
    whole = (trained[0] / 'epoch_1.pth').read_bytes()
    (tmp_path / 'half.pth').write_bytes(whole[: len(whole) // 2])
    (tmp_path / 'text.pth').write_text('version https://git-lfs.github.com/spec/v1')
    (tmp_path / 'hello.pth').write_text('hello')
    for name in ('half.pth', 'text.pth', 'hello.pth'):
        told = last_line('test.py', QUICK, name, cwd=tmp_path)
        assert re.search(rf'{name}: damaged, or not a checkpoint', told)


def test_too_few_images_for_a_batch_are_an_error(tmp_path):
    told = last_line('train.py', QUICK, '--cfg-options', 'train_dataloader.batch_size=2000', cwd=tmp_path)
    assert '1438 training images do not fill one batch of 2000' in told


@pytest.mark.parametrize(
    ('script', 'args', 'message'),
    [
        ('test.py', [DIGITS, DIGITS, '--tta'], r'--tta needs tta_model and tta_pipeline'),
        ('test.py', [DIGITS, DIGITS, '--out', 'a.json'], r'a\.json: pred is written as \.pkl'),
    ],
)
def test_bad_call_says_what_is_wrong(script, args, message, tmp_path):
    assert re.search(message, last_line(script, *args, cwd=tmp_path))


@pytest.mark.parametrize(
    ('script', 'args', 'message'),
    [
        ('dist_train.sh', [DIGITS], r'dist_train\.sh CONFIG PROCESSES'),
        ('dist_test.sh', [DIGITS, 'a.pth'], r'dist_test\.sh CONFIG CHECKPOINT PROCESSES'),
        ('slurm_train.sh', ['part'], r'slurm_train\.sh PARTITION JOB_NAME CONFIG WORK_DIR'),
        ('slurm_test.sh', ['part'], r'slurm_test\.sh PARTITION JOB_NAME CONFIG CHECKPOINT'),
    ],
)
def test_bad_call_of_a_shell_script_says_how_it_is_called(script, args, message, run_tool):
    result = run_tool(script, *args)
    assert result.returncode != 0
    assert re.search(message, result.stderr)
