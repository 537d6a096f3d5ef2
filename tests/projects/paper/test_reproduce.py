"""``reproduce.py`` as it is called."""

import csv
from pathlib import Path

import pytest

from tests.conftest import ROOT, last_line
from tests.docs.scripts import run_here
from tests.projects.paper.reproduction.test_runs import write_log

SCRIPT = ROOT / 'projects' / 'paper' / 'reproduce.py'


def test_figures_of_a_table_beside_the_papers(tmp_path):
    write_log(tmp_path / 'runs' / 'table5_kernel_5' / '1', {'accuracy/top1': 74.03, 'step': 300})
    printed = run_here(SCRIPT, 'table5', '--work-dirs', 'runs', '--out', 'out', cwd=tmp_path)
    text = (tmp_path / 'out' / 'table5.md').read_text()
    assert text in printed and text.startswith('## Table V: ')
    (line,) = [line for line in text.splitlines() if 'table5_kernel_5' in line]
    assert line.startswith('| 5 | `ablations/table5_kernel_5` | 2.25 | 2.10 | +7.4 % | 0.662 | 0.68 | -2.7 % |')
    assert line.endswith('| 74.0 | 73.93 | +0.1 |')
    rows = list(csv.DictReader((tmp_path / 'out' / 'table5.csv').open()))
    (top1,) = [row for row in rows if row['column'] == 'top-1 (%)' and row['model'] == '5']
    assert (top1['ours'], top1['paper'], top1['difference']) == ('74.03', '73.93', '0.1')
    assert (tmp_path / 'out' / 'table5.png').read_bytes().startswith(b'\x89PNG')


def test_images_a_second_of_table_8(tmp_path, monkeypatch):
    rates = {f'ablations/table8_{name}': (rate, 0.24) for rate, name in enumerate(('full', 'depthwise', 'hybrid'), 10)}
    asked = []
    monkeypatch.setattr(
        'projects.paper.reproduction.throughput.throughput', lambda *args: asked.append(args[1:4]) or rates
    )
    monkeypatch.setattr('projects.paper.reproduction.counts.counted', lambda row: {})
    printed = run_here(SCRIPT, 'table8', '--batch-size', 1, '--rounds', 2, '--device', 'cpu', cwd=tmp_path)
    rows = [line.split(' | ') for line in printed.splitlines() if line.startswith(('| full', '| depth', '| hybrid'))]
    assert [row[-3:-1] for row in rows] == [['10.0 ± 0.2', '3008'], ['11.0 ± 0.2', '3640'], ['12.0 ± 0.2', '3730']]
    assert 'batch 1, float32, mean and standard deviation of 2 rounds' in printed and asked == [(1, 2, 'cpu')]


def test_schedule_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr('projects.paper.reproduction.counts.costs', lambda *arguments: dict(macs=1e9))
    printed = run_here(SCRIPT, 'schedule', '--gpus', 4, '--out', 'out', cwd=tmp_path)
    assert '37 of 37 trainings are left' in printed
    script = (tmp_path / 'out' / 'schedule.sh').read_text()
    assert 'run tools/dist_train.sh projects/paper/configs/peers/resnet18_in1k.py 4 --resume --auto-scale-lr' in script
    assert '#SBATCH --gres=gpu:4' in (tmp_path / 'out' / 'schedule.sbatch').read_text()


@pytest.mark.parametrize('what', ['table9', 'table1'])
def test_other_tables_are_refused(what, tmp_path):
    with pytest.raises(AssertionError):
        run_here(SCRIPT, what, cwd=tmp_path)


def test_what_is_not_finished_is_trained_in_miniature(tmp_path, monkeypatch):
    write_log(tmp_path / 'runs' / 'miniature' / 'seed1' / 'table8_full' / '1', {'accuracy/top1': 97.0, 'step': 20})
    commands, converted = [], []
    monkeypatch.setattr('projects.paper.reproduction.training._run', lambda command: commands.append(command) or 0)
    monkeypatch.setattr('subprocess.run', lambda words, **options: converted.append(Path(words[1]).name))
    printed = run_here(
        SCRIPT, 'miniature', '--seeds', 2, '--jobs', 1, '--work-dirs', 'runs', '--out', 'out', cwd=tmp_path
    )
    assert len(commands) == 33 and converted == ['digits_to_coco.py']
    assert [command.name for command in commands if 'full' in command.name] == ['miniature/table8_full seed 0']
    words = commands[-1].words[1:]
    assert words[0].endswith('tools/train.py') and words[1].endswith('configs/miniature/table8_depthwise.py')
    assert words[2:] == ['--work-dir', 'runs/miniature/seed1/table8_depthwise', '--cfg-options', 'randomness.seed=1']
    text = (tmp_path / 'out' / 'miniature.md').read_text()
    assert text in printed and 'Not trained with 2 seeds: full; depthwise; hybrid.' in text


def test_failed_trainings_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(
        'projects.paper.reproduction.training._run', lambda command: int('table8_full seed 1' in command.name)
    )
    monkeypatch.setattr('subprocess.run', lambda words, **options: None)
    line = last_line(SCRIPT, 'miniature', '--seeds', 2, '--jobs', 1, cwd=tmp_path)
    assert line.startswith('failed: miniature/table8_full seed 1; ')


@pytest.mark.parametrize(('what', 'option'), [('table8', '--rounds'), ('miniature', '--seeds')])
def test_a_single_one_has_no_spread(what, option, tmp_path):
    assert last_line(SCRIPT, what, option, 1, cwd=tmp_path).startswith(f'{option}: ')
