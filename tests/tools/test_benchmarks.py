"""The scripts that measure time: that they measure what they say, not how long it takes."""

import re
import subprocess
import sys

import pytest

from tests.conftest import DATA, ROOT, run_script

TOOLS = ROOT / 'tools' / 'analysis_tools'
FORMS = ('cl', 'deploy', 'onnxruntime', 'openvino', 'winograd', 'int8')
XT = ROOT / 'configs' / 'spartan_xt_in1k.py'


def rows(printed: str) -> list[list[str]]:
    table = [line for line in printed.splitlines() if line.startswith('|')]
    return [[cell.strip() for cell in line.strip('|').split('|')] for line in table]


def test_inference_of_forms_side_by_side():
    forms = [f'{XT}@{form}' for form in FORMS]
    printed = run_script(
        TOOLS / 'benchmark.py', 'reference-xt', *forms, 'timm/mobileone_s0', '--size', 64, '--repeats', 2, cwd=ROOT
    )
    assert '64x64, float32, 2 threads' in printed and 'G multiply-adds a second' in printed
    head, _, first, *others, peer = rows(printed)
    assert first[head.index('ratio')] == '1.00x'
    assert [row[0] for row in others] == [f'spartan_xt_in1k@{form}' for form in FORMS]
    assert {row[head.index('parameters')] for row in (first, *others)} == {'2,222,792'}
    assert peer[0] == 'timm/mobileone_s0@eager'
    for row in (first, *others, peer):
        median = float(row[head.index('median')].removesuffix(' ms'))
        assert float(row[head.index('images/s')]) == pytest.approx(1e3 / median, rel=0.05)


def test_training_steps_side_by_side():
    models = ['reference-xt', f'{XT}@cl', f'{XT}@with_cp']
    printed = run_script(
        TOOLS / 'benchmark.py', *models, '--train', '--size', 64, '--batch-size', 2, '--repeats', 2, cwd=ROOT
    )
    head, _, *table = rows(printed)
    saved, peak = (
        [float(row[head.index(name)].removesuffix(' MB')) for row in table] for name in ('saved', 'peak memory')
    )
    assert saved[0] > saved[1] > saved[2]
    assert all(most >= kept for most, kept in zip(peak, saved))


@pytest.mark.parametrize(
    ('model', 'message'),
    [
        ('nothing.py', 'nothing.py: no config file'),
        ('timm/nothing', 'timm/nothing: timm .* has no such model'),
        ('reference-xxl', 'there are reference-xt, reference-t'),
        (f'{XT}@faster', 'forms are eager, cl'),
    ],
)
def test_unknown_models_and_forms_end_in_one_line(model, message):
    command = [sys.executable, TOOLS / 'benchmark.py', model, '--size', '64']
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 1 and 'Traceback' not in result.stderr
    assert re.search(message, result.stderr.splitlines()[-1])


def test_one_round_has_no_spread(run_tool):
    result = run_tool('analysis_tools/benchmark.py', 'reference-xt', '--repeats', 1)
    assert result.returncode == 1 and result.stderr.splitlines()[-1].startswith('--repeats: ')


def test_loader_is_held_against_the_step():
    printed = run_script(
        TOOLS / 'benchmark_dataloader.py', DATA / 'rtdetr_quick.py', '--photos', '--images', 4, '--batches', 2, cwd=ROOT
    )
    times = re.findall(r'^ +(\d+\.\d+)  (\w+)$', printed, re.M)
    assert [name for _, name in times] == [
        'LoadImageFromFile',
        'CheckPicture',
        'LoadAnnotations',
        'Resize',
        'PackDetInputs',
    ]
    one = float(re.search(r'one process: (\S+) images/s', printed)[1])
    assert one == pytest.approx(1e3 / sum(float(time) for time, _ in times), rel=0.05)
    eaten, workers = re.search(r'(\S+) images/s, which (\d+) workers feed', printed).groups()
    assert int(workers) - 1 <= float(eaten) / one <= int(workers)


def test_data_that_is_not_there_is_named():
    command = [sys.executable, TOOLS / 'benchmark_dataloader.py', ROOT / 'configs' / 'rtdetr_spartan_xt_coco.py']
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 1 and 'Traceback' not in result.stderr
    assert re.match(r'data/coco/: not there .*; --photos takes two', result.stderr.splitlines()[-1])
