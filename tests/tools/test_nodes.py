"""Several processes and machines: two launchers on this one, evaluation, and Slurm's commands and variables."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.conftest import DATA, ROOT, last_line, make_digits, save_untrained
from tests.docs.scripts import run_here
from tests.forks import Fork

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


def start_node(rank: int) -> subprocess.Popen:
    command = ['bash', TOOLS / 'dist_train.sh', 'mine.py', '1', '--work-dir', 'nodes', *SHORT]
    env = {**os.environ, 'NNODES': '2', 'NODE_RANK': str(rank), 'PORT': str(PORT)}
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def weights(work_dir: str) -> dict[str, torch.Tensor]:
    return torch.load(Path(work_dir, 'epoch_1.pth'), weights_only=True)['state_dict']


@pytest.mark.training
def test_two_nodes_end_as_two_processes_of_one_and_bucket_views_change_nothing(project):
    for node in [start_node(rank) for rank in (0, 1)]:
        output = node.communicate(timeout=240)[0]
        assert node.returncode == 0, output[-2000:]
    views = ['model_wrapper_cfg.type=MMDistributedDataParallel', 'model_wrapper_cfg.gradient_as_bucket_view=True']
    command = [TOOLS / 'train.py', 'mine.py', '--work-dir', 'one', '--launcher', 'pytorch', *SHORT, *views]
    group = dict(MASTER_ADDR='127.0.0.1', MASTER_PORT=PORT + 1, WORLD_SIZE=2)
    for process in [Fork(*command, cwd=project, RANK=rank, LOCAL_RANK=rank, **group) for rank in (0, 1)]:
        assert (ended := process.end()).returncode == 0, ended.stderr[-2000:]
    one, two = weights('one'), weights('nodes')
    assert one.keys() == two.keys() and all(torch.equal(value, two[key]) for key, value in one.items())
    assert sorted(path.suffix for path in Path('nodes').glob('epoch_1*')) == ['.pth']  # written by one of the nodes


def test_two_processes_evaluate_an_odd_number_of_images_as_one_does(project):
    shutil.copy(DATA / 'rtdetr_quick.py', 'detector.py')
    save_untrained(project / 'detector.py', project / 'detector.pth')
    make_digits(project, 1, 5)
    test, options = ['detector.py', 'detector.pth'], ['--out-item', 'metrics']
    run_here(TOOLS / 'test.py', *test, '--cfg-options', 'test_evaluator.outfile_prefix=found', cwd=project)
    truth = json.loads(Path('digits/val.json').read_text())
    found = json.loads(Path('found.bbox.json').read_text())[::3]  # an untrained model's, so that it finds something
    for i, each in enumerate(found, 1):
        each.update(id=i, area=each['bbox'][2] * each['bbox'][3], iscrowd=0)
    Path('digits/val.json').write_text(json.dumps({**truth, 'annotations': found}))
    run_here(TOOLS / 'test.py', *test, '--out', 'one.json', *options, cwd=project)
    command = ['bash', TOOLS / 'dist_test.sh', *test, '2', '--out', 'two.json', *options]
    two = subprocess.run(
        command, env={**os.environ, 'PORT': str(PORT)}, capture_output=True, text=True, timeout=240, check=False
    )
    assert two.returncode == 0, two.stderr[-2000:]
    one, two = (json.loads(Path(name).read_text()) for name in ('one.json', 'two.json'))
    assert one == two and 0 < one['coco/bbox_mAP'] < 1


@pytest.mark.parametrize(
    ('script', 'given', 'called'),
    [
        ('slurm_train.sh', ['mine.py', 'work'], ['train.py', 'mine.py', '--work-dir', 'work']),
        ('slurm_test.sh', ['mine.py', 'mine.pth'], ['test.py', 'mine.py', 'mine.pth']),
    ],
)
def test_srun_is_called_with_the_processes_of_all_nodes(script, given, called, project):
    (project / 'srun').write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (project / 'srun').chmod(0o755)
    variables = dict(PATH=f'{project}:{os.environ["PATH"]}', GPUS='16', GPUS_PER_NODE='4', SRUN_ARGS='--qos high')
    command = ['bash', TOOLS / script, 'gpu', 'job', *given, '--amp']
    printed = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True, check=True)
    words = printed.stdout.split('\n')[:-1]
    for word in ('--job-name=job', '--gres=gpu:4', '--ntasks=16', '--ntasks-per-node=4', '--kill-on-bad-exit=1'):
        assert word in words
    assert words[:2] == ['-p', 'gpu'] and words[words.index('--qos') :][:2] == ['--qos', 'high']
    tool, *arguments = called
    assert words[words.index(str(TOOLS / tool)) + 1 :] == [*arguments, '--launcher', 'slurm', '--amp']


def test_slurm_without_gpus_is_told_to_take_the_other_launcher(project):
    told = '--launcher slurm needs GPUs; without them use --launcher pytorch, as dist_train.sh'
    assert last_line('train.py', 'mine.py', '--launcher', 'slurm', cwd=project) == told


# What mmengine's Runner calls for `--launcher slurm`; torch sets a device only where there is one.
TASK = """
import json, os, sys, torch
from mmengine.dist import all_reduce, get_rank, get_world_size, init_dist

devices = []
torch.cuda.set_device = devices.append
init_dist('slurm', backend='gloo')
total = torch.tensor(get_rank() + 1)
all_reduce(total)
names = ('MASTER_ADDR', 'MASTER_PORT', 'RANK', 'WORLD_SIZE', 'LOCAL_RANK')
print(json.dumps([get_rank(), get_world_size(), int(total), devices, {name: os.environ[name] for name in names}]))
torch.distributed.destroy_process_group()
"""


def test_slurms_variables_join_the_tasks_of_two_nodes(project, monkeypatch):
    stub = '#!/bin/sh\n[ "$*" = "show hostname node[07-08]" ] && printf "127.0.0.1\\nnode08\\n"\n'
    (project / 'scontrol').write_text(stub)
    (project / 'scontrol').chmod(0o755)
    monkeypatch.setenv('PATH', f'{project}:{os.environ["PATH"]}')
    monkeypatch.setenv('MASTER_PORT', str(PORT + 2))
    for name in ('MASTER_ADDR', 'RANK', 'WORLD_SIZE', 'LOCAL_RANK'):
        monkeypatch.delenv(name, raising=False)
    job = dict(SLURM_NTASKS='2', SLURM_NODELIST='node[07-08]', SLURM_LOCALID='0')
    (project / 'task.py').write_text(TASK)
    tasks = [Fork(project / 'task.py', cwd=project, **job, SLURM_PROCID=rank) for rank in (0, 1)]
    for rank, ended in enumerate([task.end() for task in tasks]):
        assert ended.returncode == 0, ended.stderr[-2000:]
        *numbers, variables = json.loads(ended.stdout.splitlines()[-1])
        assert numbers == [rank, 2, 1 + 2, [0]]
        assert variables == dict(
            MASTER_ADDR='127.0.0.1', MASTER_PORT=str(PORT + 2), RANK=str(rank), WORLD_SIZE='2', LOCAL_RANK='0'
        )
