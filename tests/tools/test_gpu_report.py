"""The report of all GPU tables, as a dry run on the CPU."""

import json
from argparse import Namespace
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from importlib import util

import pytest

from mmspartan.benchmark.models import check
from mmspartan.benchmark.report import Measurement, as_markdown, fill, write
from mmspartan.benchmark.workers import Measured, Settings, Worker
from tests.conftest import ROOT

SETTINGS = Settings(2, 64, False, 'float32', False, 1, 'cpu')
ROWS = [Measurement('timm/resnet18', 'eager', SETTINGS), Measurement('timm/resnet18', 'cl', SETTINGS)]


@pytest.fixture(scope='module')
def tool():
    spec = util.spec_from_file_location('gpu_report', ROOT / 'tools' / 'analysis_tools' / 'gpu_report.py')
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def plan():
    return [replace(row) for row in ROWS]


def table(text: str, title: str) -> list[list[str]]:
    section = text.partition(f'## {title}\n')[2].partition('##')[0]
    lines = [line for line in section.splitlines() if line.startswith('|')]
    return [[cell.strip() for cell in line.strip('|').split('|')] for line in lines[2:]]


def test_dry_run_writes_both_files(tool, tmp_path, monkeypatch):
    training = replace(SETTINGS, train=True)
    broken = Measurement('timm/resnet18', 'deploy', training)  # a form that does not train
    kernels = Measurement('timm/resnet18', 'eager', training, request='kernels')
    monkeypatch.setattr(tool, 'dry', lambda plan: [*map(replace, ROWS), broken, kernels])
    monkeypatch.setenv('TORCHINDUCTOR_CACHE_DIR', str(tmp_path))
    monkeypatch.setenv('TORCHINDUCTOR_COMPILE_THREADS', '1')
    tool.main(Namespace(out=tmp_path / 'report', minutes=8, jobs=2, dry_run=True))
    text = (tmp_path / 'report' / 'report.md').read_text()
    assert 'the figures mean nothing' in text
    first, second = table(text, ROWS[0].table)
    assert first[:2] == ['resnet18', 'eager'] and first[3] == '1.00x'
    assert float(second[3][:-1]) == pytest.approx(float(second[2]) / float(first[2]), abs=0.02)
    assert table(text, broken.table)[0][2] == 'not measured: timm/resnet18@deploy: this form does not train'
    whole, *slowest = table(text, kernels.table)
    assert whole[::3] == ['all', '1.000x'] and len(slowest) == 10
    content = json.loads((tmp_path / 'report' / 'report.json').read_text())
    assert [row['reason'] for row in content['measurements']][::3] == [None, None]
    assert len(content['measurements'][0]['measured']['times']) == 2


@pytest.mark.parametrize('end', ['killed', 'out of time'])
def test_rows_before_the_end_are_kept(end, plan, tmp_path, monkeypatch):
    asked, told, ask = [], [], Worker.ask

    def ask_until_killed(self, *args):
        asked.append(args)
        if end == 'killed' and len(asked) == 5:  # the second turn of the second model
            raise KeyboardInterrupt
        return ask(self, *args)

    monkeypatch.setattr(Worker, 'ask', ask_until_killed)
    with pytest.raises(KeyboardInterrupt) if end == 'killed' else nullcontext():
        save, clock = partial(write, tmp_path, {}, plan), lambda: 61 if told else 0
        fill(plan, 1 if end != 'killed' else 1e9, save, rounds=2, tell=told.append, clock=clock)
    assert len(told) == (1 if end == 'killed' else 2)
    first, second = table((tmp_path / 'report.md').read_text(), ROWS[0].table)
    assert float(first[2]) > 0
    reason = 'the run ended before its turn' if end == 'killed' else 'out of time'
    assert second[2] == f'not measured: {reason}'
    rows = json.loads((tmp_path / 'report.json').read_text())['measurements']
    assert [row['measured'] is None for row in rows] == [False, True]
    assert not list(tmp_path.glob('*.part'))


def test_a_process_that_fails_is_named_in_one_line(plan, tmp_path):
    plan[0].settings = replace(SETTINGS, options={'batch_size': 0}, size=0)
    fill(plan[:1], 1, lambda: None, tell=lambda line: None)
    assert plan[0].reason.startswith('RuntimeError: ') and '\n' not in plan[0].reason
    plan[0].what = 'timm/nothing'
    fill(plan[:1], 1, lambda: None, tell=lambda line: None)
    assert plan[0].reason.endswith('has no such model')


def test_all_models_of_the_plan_exist_and_the_dry_run_has_each_table(tool):
    for what, form in {(row.what, row.form) for row in tool.PLAN}:
        check(what, form, 'cuda')
    assert len({(row.what, row.form, row.table) for row in tool.PLAN}) == len(tool.PLAN)
    dry = tool.dry(tool.PLAN)
    assert {row.settings.device for row in dry} == {'cpu'} and len(dry) < 15
    assert {row.settings.train for row in dry} == {True, False} and 'kernels' in {row.request for row in dry}


def test_compilation_is_the_first_run_without_a_later_one():
    rows = [Measurement('reference-t', form, SETTINGS, reason=None) for form in ('compile', 'deploy+graph', 'eager')]
    for row, first in zip(rows, (6e3, 11e3, 0)):
        row.measured = Measured('', 1, 1.0, None, None, times=[1e3, 1e3], first=first)
    cells = table(as_markdown({}, rows), 'Seconds to compile')
    assert [row[1::2] for row in cells] == [['compile', '5.0'], ['deploy+graph', '10.0']]
    assert [row[-1] for row in cells] == ['1.00x', '2.00x']
