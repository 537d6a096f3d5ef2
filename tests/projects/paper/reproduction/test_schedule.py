"""The scripts of what must be trained, run with stand-ins for the training and for Slurm."""

import os
import subprocess
from pathlib import Path

import pytest

from projects.paper.reproduction.configs import config_file
from projects.paper.reproduction.runs import run_name
from projects.paper.reproduction.schedule import Training, overview, shell_script, slurm_array, trainings
from projects.paper.reproduction.tables import TABLES
from tests.projects.paper.reproduction.test_runs import write_log


def plan(work_dirs: Path) -> list[Training]:
    return list(trainings(TABLES, work_dirs, lambda row: 2e9))


@pytest.fixture
def checkout(tmp_path) -> Path:
    """A folder with a training script that writes down its arguments, and fails for ResNet-18."""
    script = tmp_path / 'tools' / 'dist_train.sh'
    script.parent.mkdir()
    script.write_text('#!/bin/sh\necho "$PORT $*" >> started\ncase "$1" in *resnet18*) exit 1;; esac\n')
    script.chmod(0o755)
    return tmp_path


def started(checkout: Path) -> list[str]:
    return (checkout / 'started').read_text().splitlines()


def test_each_network_is_trained_once(tmp_path):
    planned = plan(tmp_path)
    names = [one.run.folder.name for one in planned]
    assert len(names) == len(set(names))
    assert set(names) == {run_name(row.config) for table in TABLES for row in table.rows}
    (xt,) = [one for one in planned if one.config == 'spartan_xt_in1k']
    assert xt.tables == (2, 4, 5, 7, 8)


def test_detectors_come_after_the_classifiers_whose_weights_they_start_from(tmp_path):
    planned = plan(tmp_path)
    scopes = [one.scope for one in planned]
    assert scopes == sorted(scopes, reverse=True) and scopes.count('mmdet') == 7
    needs = {one.config: one.needs for one in planned if one.needs}
    assert needs == dict(rtdetr_spartan_xt_coco='spartan_xt_in1k', rtdetr_spartan_t_coco='spartan_t_in1k')
    (command,) = [one.command(4) for one in planned if one.config == 'rtdetr_spartan_t_coco']
    assert command == (
        'tools/dist_train.sh configs/rtdetr_spartan_t_coco.py 4 --resume --auto-scale-lr '
        f'--work-dir {tmp_path}/rtdetr_spartan_t_coco --cfg-options model.backbone.init_cfg.type=Pretrained '
        f'model.backbone.init_cfg.checkpoint={tmp_path}/spartan_t_in1k/epoch_300.pth '
        'model.backbone.init_cfg.prefix=backbone.'
    )


def test_finished_trainings_are_left_out_and_begun_ones_are_named(tmp_path):
    write_log(tmp_path / 'resnet18_in1k' / '1', {'accuracy/top1': 71.5, 'step': 300})
    (tmp_path / 'deit_t_in1k').mkdir()
    (tmp_path / 'deit_t_in1k' / 'epoch_7.pth').touch()
    planned = plan(tmp_path)
    states = {one.config: one.state for one in planned}
    assert states['peers/resnet18_in1k'] == 'finished' and states['peers/deit_t_in1k'] == 'begun'
    assert states['peers/pvt_t_in1k'] == 'to do'
    for script in (shell_script(planned, 8), slurm_array(planned, 8)):
        assert 'resnet18' not in script and 'deit_t_in1k.py 8 --resume' in script
    assert f'{len(planned) - 1} of {len(planned)} trainings are left' in overview(planned, 8)


def test_hours_are_those_of_the_slower_of_step_and_loader(tmp_path):
    hours = {one.config: (one.gpu_hours, one.limit) for one in plan(tmp_path)}
    images = 300 * 1_281_167
    step, loader = images * 0.173 / 128 / 3600, images / (177 * 8) / 3600
    assert hours['spartan_t_in1k'] == (pytest.approx(step), 'spartan_t_in1k')
    assert hours['peers/resnet18_in1k'] == (pytest.approx(loader), 'loader')
    assert hours['rtdetr_spartan_t_coco'][0] == pytest.approx(70 * 118_287 * 3 * 0.0481 / 3600)


def test_times_of_other_models_grow_with_their_multiply_adds(tmp_path):
    costs = {'spartan_t_in1k': 1e9, 'spartan_t_256_in1k': 1.5e9}
    planned = trainings(TABLES, tmp_path, lambda row: costs.get(row.config, 1e9))
    hours = {one.config: one.gpu_hours for one in planned}
    assert hours['spartan_t_256_in1k'] == pytest.approx(1.5 * hours['spartan_t_in1k'])


def test_shell_script_goes_on_after_a_failure_and_reports_it(checkout):
    planned = plan(Path('runs'))
    (checkout / 'schedule.sh').write_text(shell_script(planned, 2))
    env = {name: value for name, value in os.environ.items() if name != 'PORT'}  # the stand-in prints it
    result = subprocess.run(['bash', 'schedule.sh'], cwd=checkout, env=env, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stderr == f'failed: {planned[0].command(2)}\n' and 'resnet18' in planned[0].config
    assert [line.split()[0] for line in started(checkout)] == [config_file(one.config) for one in planned]


def test_slurm_script_submits_two_arrays_and_each_task_is_a_training(checkout):
    planned = plan(Path('runs'))
    (checkout / 'schedule.sbatch').write_text(slurm_array(planned, 8))
    sbatch = checkout / 'sbatch'
    sbatch.write_text('#!/bin/sh\necho "$*" >> submitted\necho 77\n')
    sbatch.chmod(0o755)
    env = {**os.environ, 'PATH': f'{checkout}:{os.environ["PATH"]}'}
    env.pop('PORT', None)
    subprocess.run(['bash', 'schedule.sbatch'], cwd=checkout, env=env, check=True)
    assert (checkout / 'submitted').read_text().splitlines() == [
        f'--parsable --array=1-{len(planned) - 7} schedule.sbatch',
        f'--dependency=afterany:77 --array={len(planned) - 6}-{len(planned)} schedule.sbatch',
    ]
    for i in (2, len(planned)):
        env['SLURM_ARRAY_TASK_ID'] = str(i)
        subprocess.run(['bash', 'schedule.sbatch'], cwd=checkout, env=env, check=True)
        port, *words = started(checkout)[-1].split()
        assert int(port) == 29500 + i and words[0] == config_file(planned[i - 1].config)


def test_scripts_are_valid_when_nothing_is_left(tmp_path):
    for text in (shell_script([], 8), slurm_array([], 8)):
        subprocess.run(['bash', '-n'], input=text, text=True, check=True)
