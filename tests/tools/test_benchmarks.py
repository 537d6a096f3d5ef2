"""The scripts that measure time: that they measure what they say, not how long it takes."""

import json
import re
import runpy
import sys
from unittest import mock

import pytest
import torch
from mmengine.registry import DATASETS

from mmspartan.benchmark.peak import peak
from mmspartan.benchmark.workers import Measured
from tests.conftest import DATA, ROOT, last_line, run_script
from tests.docs.scripts import run_here

TOOLS = ROOT / 'tools' / 'analysis_tools'
FORMS = ('deploy', 'onnxruntime', 'int8')
XT = ROOT / 'configs' / 'spartan_xt_in1k.py'


def rows(printed: str) -> list[list[str]]:
    table = [line for line in printed.splitlines() if line.startswith('|')]
    return [[cell.strip() for cell in line.strip('|').split('|')] for line in table]


def test_inference_of_forms_side_by_side(tmp_path):
    forms = [f'{DATA / "digits_quick.py"}@{form}' for form in FORMS]
    options = ['--size', 64, '--repeats', 2, '--threads', 1, '--json', tmp_path / 'a.json']
    printed = run_here(TOOLS / 'benchmark.py', *forms, 'timm/mobileone_s0', *options, cwd=ROOT)
    assert '64x64, float32, 1 threads' in printed
    for dtype in ('float32', 'int8'):
        assert f'large matrix product in {dtype}: ' in printed
    head, _, first, *others, peer = rows(printed)
    assert first[head.index('ratio')] == '1.00x'
    assert [row[0] for row in (first, *others)] == [f'digits_quick@{form}' for form in FORMS]
    assert len({row[head.index('parameters')] for row in (first, *others)}) == 1
    assert peer[0] == 'timm/mobileone_s0@eager'
    for row in (first, *others, peer):
        median = float(row[head.index('median')].removesuffix(' ms'))
        assert float(row[head.index('images/s')]) == pytest.approx(1e3 / median, rel=0.05)
        assert 0 < int(row[head.index('of peak')].removesuffix('%')) + 1 <= 101
    compared = run_here(TOOLS / 'compare_benchmarks.py', 'a.json', 'a.json', cwd=tmp_path)
    table = rows(compared)[2:]
    assert len(table) == len(FORMS) + 1 and {tuple(row[3:]) for row in table} == {('1.00x', 'within the spread')}


def record(path, **times: list[float]) -> None:
    settings = dict(batch_size=1, size=64, train=False, dtype='float32', tf32=False, threads=2, device='cpu')
    facts = dict(parameters=1, multiply_adds=1.0, saved=None, peak_memory=None)
    models = [dict(facts, name=name, times=values) for name, values in times.items()]
    path.write_text(json.dumps(dict(settings=settings, machine='a', torch='2', peaks={}, models=models)))


def test_differences_beyond_the_spread_are_told(tmp_path):
    record(tmp_path / 'a.json', same=[1.0, 1.1, 1.2, 1.3], faster=[2.0, 2.1, 2.2, 2.3], gone=[1.0, 1.0, 1.0, 1.0])
    record(tmp_path / 'b.json', same=[1.1, 1.2, 1.3, 1.0], faster=[1.0, 1.1, 1.1, 1.2], new=[1.0, 1.0, 1.0, 1.0])
    printed = run_here(TOOLS / 'compare_benchmarks.py', 'a.json', 'b.json', cwd=tmp_path)
    assert [row[::4] for row in rows(printed)[2:]] == [['same', 'within the spread'], ['faster', 'faster']]


def test_two_turns_have_quartiles_between_them():
    low, median, high = Measured('model', 1, 1.0, None, None, times=[1.0, 9.0]).quartiles()
    assert 1 <= low < median < high <= 9


@pytest.mark.parametrize('content', ['[]', '{"models": [{}]}', 'one turn', 'no machine'])
def test_other_files_are_not_compared(content, tmp_path):
    record(tmp_path / 'a.json', model=[1.0, 1.1])
    record(tmp_path / 'b.json', model=[1.0, 1.1] if content == 'no machine' else [1.0])
    if content == 'no machine':
        content = (tmp_path / 'b.json').read_text().replace('machine', 'made')
    if content != 'one turn':
        (tmp_path / 'b.json').write_text(content)
    told = last_line('analysis_tools/compare_benchmarks.py', 'a.json', 'b.json', cwd=tmp_path)
    assert told == 'b.json: no file of benchmark.py --json'


def test_models_of_one_name_are_told_apart():
    named = runpy.run_path(str(TOOLS / 'benchmark.py'))['named']
    models = [('a/t.py', 'eager'), ('b/t.py', 'eager'), ('a/t.py', 'cl'), ('a/t.py', 'eager')]
    assert [name for name, *_ in named(models)] == ['t@eager', 't@eager#2', 't@cl', 't@eager#3']


def test_int8_needs_a_library_that_computes_in_it():
    with mock.patch.dict(sys.modules, openvino=None), pytest.raises(ValueError, match=r'^int8 on cpu: openvino is not'):
        peak('cpu', 'int8')


def test_training_steps_side_by_side():
    models = ['reference-xt', f'{XT}@cl', f'{XT}@with_cp']
    options = ['--train', '--size', 32, '--batch-size', 2, '--repeats', 2, '--threads', 1]
    printed = run_here(TOOLS / 'benchmark.py', *models, *options, cwd=ROOT)
    head, _, *table = rows(printed)
    saved, peak = (
        [float(row[head.index(name)].removesuffix(' MB')) for row in table] for name in ('saved', 'peak memory')
    )
    assert saved[0] > saved[1] > saved[2]
    assert all(most >= kept for most, kept in zip(peak, saved))


def test_training_step_of_a_detector_is_its_whole_loss():
    """With the matching and the denoising, which the outputs alone have not."""
    from mmspartan.benchmark.models import runner

    with mock.patch('mmspartan.rtdetr.head.RTDETRHead.loss_by_match', autospec=True) as loss:
        loss.side_effect = RuntimeError('loss of a layer')
        _, step = runner(str(DATA / 'rtdetr_quick.py'), 'eager', torch.rand(1, 3, 64, 64), True, torch.float32)
        with pytest.raises(RuntimeError, match='loss of a layer'):
            step()
    _, step = runner(str(DATA / 'rtdetr_quick.py'), 'eager', torch.rand(1, 3, 64, 64), True, torch.float32)
    step()


def test_options_and_precision_are_those_that_were_asked_for():
    from mmspartan.benchmark.models import runner
    from mmspartan.deploy.session import Session

    settings = (torch.rand(1, 3, 64, 64), False)
    model, _ = runner(str(DATA / 'rtdetr_quick.py'), 'eager', *settings, torch.float32, {'model.num_queries': 7})
    assert model.model.num_queries == 7
    with mock.patch.object(Session, '__init__', autospec=True, side_effect=RuntimeError) as session:
        with pytest.raises(RuntimeError):
            runner(str(DATA / 'digits_quick.py'), 'openvino', *settings, torch.bfloat16)
        assert session.call_args.args[-1] == 'bf16'
    with pytest.raises(ValueError, match=r'@onnxruntime: runs in float32$'):
        runner(str(DATA / 'digits_quick.py'), 'onnxruntime', *settings, torch.bfloat16)


@pytest.mark.parametrize(
    ('model', 'message'),
    [
        ('nothing.py', 'nothing.py: no such config file'),
        ('timm/nothing', 'timm/nothing: timm .* has no such model'),
        ('reference-xxl', 'there are reference-xt, reference-t'),
        (f'{XT}@faster', 'forms are eager, cl'),
        (f'{XT}@int8 --device cuda', 'int8: runs on the CPU'),
        ('reference-xt --repeats 1', '^--repeats: '),  # which has no spread
    ],
)
def test_unknown_models_and_forms_end_in_one_line(model, message, tmp_path):
    assert re.search(message, last_line('analysis_tools/benchmark.py', *model.split(), '--size', '64', cwd=tmp_path))


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


def test_data_that_is_not_there_is_named(tmp_path):
    config = ROOT / 'configs' / 'rtdetr_spartan_xt_coco.py'
    with mock.patch.dict(DATASETS._module_dict):  # the script registers one
        told = last_line('analysis_tools/benchmark_dataloader.py', config, cwd=tmp_path)
    assert re.match(r'data/coco/: not there .*; --photos takes two', told)
