"""Training on several machines: two launchers on this one, and what srun is asked for."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.conftest import DATA, ROOT

TOOLS = ROOT / 'tools'
PORT = int(os.environ.get('PORT', 29500))
SHORT = ['--no-validate', '--cfg-options', 'train_dataloader.dataset.indices=128', 'randomness.deterministic=True']


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    (tmp_path / 'mine.py').symlink_to(DATA / 'digits_quick.py')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('PYTHON', sys.executable)
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '')
    return tmp_path


def start(work_dir: str, processes: int, *more: str, **variables: object) -> subprocess.Popen:
    command = ['bash', TOOLS / 'dist_train.sh', 'mine.py', str(processes), '--work-dir', work_dir, *SHORT, *more]
    env = {**os.environ, **{name: str(value) for name, value in variables.items()}}
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def weights(work_dir: str) -> dict[str, torch.Tensor]:
    return torch.load(Path(work_dir, 'epoch_1.pth'), weights_only=True)['state_dict']


def wait(*started: subprocess.Popen) -> None:
    for process in started:
        output = process.communicate(timeout=240)[0]
        assert process.returncode == 0, output[-2000:]


@pytest.mark.training
def test_two_nodes_end_as_two_processes_of_one_and_bucket_views_change_nothing(project):
    nodes = [start('nodes', 1, NNODES=2, NODE_RANK=rank, PORT=PORT) for rank in (0, 1)]
    wait(*nodes)
    views = ['model_wrapper_cfg.type=MMDistributedDataParallel', 'model_wrapper_cfg.gradient_as_bucket_view=True']
    wait(start('one', 2, *views, PORT=PORT + 1))
    one, two = weights('one'), weights('nodes')
    assert one.keys() == two.keys() and all(torch.equal(value, two[key]) for key, value in one.items())
    assert sorted(path.suffix for path in Path('nodes').glob('epoch_1*')) == ['.pth']  # written by one of the nodes


def test_srun_is_called_with_the_processes_of_all_nodes(project):
    (project / 'srun').write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (project / 'srun').chmod(0o755)
    variables = dict(PATH=f'{project}:{os.environ["PATH"]}', GPUS='16', GPUS_PER_NODE='4', SRUN_ARGS='--qos high')
    command = ['bash', TOOLS / 'slurm_train.sh', 'gpu', 'job', 'mine.py', 'work', '--amp']
    printed = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True, check=True)
    words = printed.stdout.split('\n')[:-1]
    for word in ('--job-name=job', '--gres=gpu:4', '--ntasks=16', '--ntasks-per-node=4', '--kill-on-bad-exit=1'):
        assert word in words
    assert words[:2] == ['-p', 'gpu'] and words[words.index('--qos') :][:2] == ['--qos', 'high']
    script = words.index(str(TOOLS / 'train.py'))
    assert words[script + 1 :] == ['mine.py', '--work-dir', 'work', '--launcher', 'slurm', '--amp']
