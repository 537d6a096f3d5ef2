"""Export, its evaluation by other runtimes, INT8 and folded checkpoints, by command lines."""

import json
import re
import runpy
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
import onnx
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config

from mmspartan.deploy.load import load_model
from mmspartan.deploy.onnx import to_onnx
from mmspartan.deploy.precision import PRECISIONS
from mmspartan.deploy.quantization import sensitive_products
from mmspartan.deploy.session import Session
from mmspartan.deploy.tasks import TASKS, task_of_model
from mmspartan.inference.detector import Detector
from tests.conftest import DATA, ROOT, last_line, run_script, save_untrained
from tests.docs.documents import documented_code
from tests.docs.scripts import run_here
from tests.tools.conftest import evaluate, make_detector

TOOLS = ROOT / 'tools'


@pytest.fixture(scope='module', params=['classifier', 'detector'])
def project(request, tmp_path_factory) -> Path:
    """A folder with a config, ``mine.py``, its data and a checkpoint, ``mine.pth``."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == 'detector':
        make_detector(folder)
    else:
        shutil.copy(DATA / 'digits_quick.py', folder / 'mine.py')
        save_untrained(folder / 'mine.py', folder / 'mine.pth')
    return folder


@pytest.fixture(scope='module')
def exported(project) -> Path:
    command = [TOOLS / 'export_onnx.py', 'mine.py', 'mine.pth', '--out', 'mine.onnx', '--dynamic-batch', '--verify']
    printed = run_here(*command, cwd=project)
    assert float(re.search(r'median of \d images (\S+),', printed)[1]) < 1e-3
    return project / 'mine.onnx'


def metrics(project: Path, *command, run: Callable[..., str] = run_here) -> dict:
    with mock.patch('mmengine.device.utils.DEVICE', 'cpu'):  # as without a GPU
        run(*command, '--out', 'metrics.json', cwd=project)
    return json.loads((project / 'metrics.json').read_text())


@pytest.fixture(scope='module')
def expected_metrics(project) -> dict:
    return metrics(project, TOOLS / 'test.py', 'mine.py', 'mine.pth', '--out-item', 'metrics')


def test_accuracy_is_that_of_pytorch_in_both_runtimes(project, exported, expected_metrics):
    for backend, run in (('onnxruntime', run_script), ('openvino', run_here)):  # in a process of its own and in this
        found = metrics(project, TOOLS / 'deploy_test.py', 'mine.py', exported, '--backend', backend, run=run)
        assert found == pytest.approx(expected_metrics, abs=1e-3)


@pytest.mark.parametrize(('backend', 'streams'), [('onnxruntime', 1), ('openvino', 1), ('openvino', 2)])
def test_batches_of_any_size_give_what_single_images_do(backend, streams, project, exported):
    model = load_model(Config.fromfile(project / 'mine.py'), str(project / 'mine.pth'))
    task = task_of_model(model)
    inputs = dict(images=torch.rand(3, 3, 64, 64) * 255, sizes=torch.tensor([[40.0, 60.0], [64.0, 64.0], [99.0, 50.0]]))
    if not task.inputs:
        inputs = dict(images=torch.rand(3, 3, 32, 32) * 255)
    session = Session(exported, backend, streams=streams)
    assert session.batch_size is None and tuple(session.outputs) == task.outputs
    together = session(**{name: value.numpy() for name, value in inputs.items()})
    for i in range(3):
        alone = session(**{name: value[i : i + 1].numpy() for name, value in inputs.items()})
        np.testing.assert_allclose(together['scores'][i : i + 1], alone['scores'], atol=1e-4)
    if 'boxes' in together:
        assert (together['boxes'] >= 0).all()
        assert (together['boxes'].max(1)[:, 2:] <= inputs['sizes'].numpy()[:, ::-1] + 1e-3).all()


def example(project: Path, side: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Inputs for three images, and what PyTorch's unfolded model makes of them."""
    model = load_model(Config.fromfile(project / 'mine.py'), str(project / 'mine.pth'))
    task = task_of_model(model)
    torch.manual_seed(1)
    inputs = dict(images=torch.rand(3, 3, side, side) * 255, sizes=torch.full((3, 2), 128.0))
    inputs = {name: inputs[name] for name in ('images', *task.inputs)}
    with torch.no_grad():
        outputs = task.graph(model)(**inputs)
    outputs = dict(zip(task.outputs, outputs if isinstance(outputs, tuple) else (outputs,)))
    return {name: x.numpy() for name, x in inputs.items()}, {name: x.numpy() for name, x in outputs.items()}


@pytest.mark.parametrize('project', ['detector'], indirect=True)
def test_exported_detector_draws_images_as_the_checkpoint_does(project, exported):
    found = {}
    for model in ('mine.pth', 'mine.onnx'):
        command = [TOOLS / 'image_demo.py', 'digits/val/00000.png', 'mine.py', model, '--out-dir', f'drawn_{model}']
        run_here(*command, '--slice', 48, '--batch-size', 3, '--device', 'cpu', cwd=project)
        found[model] = json.loads((project / f'drawn_{model}' / 'preds' / '00000.json').read_text())
    assert found['mine.onnx']['names'][:5] == found['mine.pth']['names'][:5]
    assert found['mine.onnx']['scores'][:5] == pytest.approx(found['mine.pth']['scores'][:5], abs=1e-3)


@pytest.mark.parametrize('project', ['detector'], indirect=True)
def test_exported_detector_runs_without_this_package_as_documented(project, exported, monkeypatch, capsys):
    monkeypatch.chdir(project)
    code = documented_code('deployment.md', 'Without this package')
    code = code.replace('street.jpg', 'digits/val/00000.png').replace('m.onnx', exported.name).replace('0.4', '0.0')
    exec(compile(code, 'deployment.md', 'exec'), {})
    found = Detector('mine.py', exported, score_thr=0.0)('digits/val/00000.png')
    expected = [(name, f'{score:.4f}') for name, score in zip(found.names, found.scores)]
    printed = [line.split() for line in capsys.readouterr().out.splitlines() if '[' in line]
    assert [(name, f'{float(score):.4f}') for name, score, *_ in printed] == expected


@pytest.mark.parametrize('project', ['detector'], indirect=True)
def test_exported_detector_is_compared_image_by_image(project, exported):
    again = ('--predictions', 'first/predictions.bbox.json')  # their objects were chosen since
    report = evaluate(project, *again, '--out', 'report')
    found = evaluate(project, exported, '--compare', 'report', '--out', 'exported', '--score-thr', 0.1)
    assert 0.1 < report['total']['AP'] < 0.9
    assert found['total']['AP'] == pytest.approx(report['total']['AP'], abs=1e-3)
    assert found['compared']['total']['AP'] == report['total']['AP']
    assert found['compared']['pictures_that_differ'] == len(found['compared']['differing']) <= 1
    assert len(json.loads((project / 'exported' / 'compared.bbox.json').read_text())) == 60


@pytest.mark.parametrize('project', ['detector'], indirect=True)
@pytest.mark.parametrize('precision', ['bf16', 'f16'])
def test_lower_precision_gives_nearly_the_same(precision, project, exported):
    if precision == 'bf16':  # the same file
        session = Session(exported, 'openvino', precision=precision)
    else:
        command = ['mine.py', 'mine.pth', '--out', 'lower.onnx', '--dynamic-batch', '--verify', '--precision', 'f16']
        run_here(TOOLS / 'export_onnx.py', *command, cwd=project)  # exits with an error if it differs
        assert (project / 'lower.onnx').stat().st_size < 0.6 * exported.stat().st_size
        session = Session(project / 'lower.onnx')
    inputs, expected = example(project, session.inputs['images'][2])
    found = session(**inputs)
    # medians, since rounding decides a near-tie of the channel argmax or of the selection of queries now and then
    assert np.median(np.abs(found['scores'] / expected['scores'] - 1)) < (0.1 if precision == 'bf16' else 0.02)
    if precision == 'f16':
        assert np.median(np.abs(found['boxes'] - expected['boxes'])) < 1  # pixel of 128
        assert (found['labels'] == expected['labels']).mean() > 0.7


def test_file_says_its_classes_and_is_of_few_nodes(project, exported):
    model = onnx.load(exported)
    assert {entry.key for entry in model.metadata_props} >= {'config', 'classes'}
    operations = {node.op_type for node in model.graph.node}
    assert 'BatchNormalization' not in operations and not any('omplex' in name for name in operations)


def test_folded_checkpoint_evaluates_to_the_same(project, expected_metrics):
    convert = TOOLS / 'model_converters' / 'reparameterize_model.py'
    printed = run_here(convert, 'mine.py', 'mine.pth', 'folded.pth', cwd=project)
    option = re.search(r'--cfg-options (\S+)', printed)[1]
    command = [TOOLS / 'test.py', 'mine.py', 'folded.pth', '--out-item', 'metrics', '--cfg-options', option]
    assert metrics(project, *command) == pytest.approx(expected_metrics, abs=1e-3)
    folded = torch.load(project / 'folded.pth', weights_only=True)
    assert folded['meta']['dataset_meta']['classes'] == tuple('0123456789')  # else it would be shown with COCO's
    names = folded['state_dict']
    assert not any('complex_weight' in name or (name.startswith('backbone') and 'running' in name) for name in names)


@pytest.mark.parametrize('backend', ['onnxruntime', 'openvino'])
def test_int8_is_compared(backend, project, exported):
    command = [TOOLS / 'quantize_onnx.py', 'mine.py', exported, '--out', 'small.onnx', '--images', 4]
    command += ['--backend', backend]
    run = run_script if backend == 'openvino' else run_here  # in a process of its own and in this
    printed = run(*command, cwd=project)
    assert len(printed.splitlines()) <= 40
    rows = re.findall(r'^(\S+\.onnx) +(\w+) +([\d.]+) MB +([\d.]+) ms +([\d.]+)', printed, re.MULTILINE)
    assert [row[:2] for row in rows] == [('mine.onnx', backend), ('small.onnx', backend)]
    model = onnx.load(project / 'small.onnx')
    assert onnx.TensorProto.INT8 in {tensor.data_type for tensor in model.graph.initializer}
    dequantized = {node.output[0] for node in model.graph.node if node.op_type == 'DequantizeLinear'}
    readers = {node.op_type for node in model.graph.node if node.input and node.input[0] in dequantized}
    products = [node for node in model.graph.node if node.op_type in ('Conv', 'MatMul', 'Gemm')]
    exact = {node.name for node in products if node.input[0] not in dequantized}
    assert exact <= sensitive_products(onnx.load(exported).graph) and len(exact) < 0.2 * len(products)
    line = re.search(r'^(\d+) of (\d+) convolutions and linear layers in INT8', printed, re.MULTILINE)
    integer, layers = map(int, line.groups())
    assert integer == len(products) - len(exact) and integer <= layers <= len(products)
    # the channel argmax and residual sums read values that are not rounded, activations only in OpenVINO
    assert not readers & {'ReduceMax', 'Less', 'GridSample'}
    assert readers >= ({'Conv', 'MatMul'} if model.graph.input[1:] else {'Conv'})
    assert ('Gelu' in readers) == (backend == 'onnxruntime')
    for source, target, message in [('small', 'smaller', 'is INT8 already'), ('mine', 'mine', 'would be lost')]:
        before = (project / f'{source}.onnx').read_bytes()
        arguments = ['mine.py', f'{source}.onnx', '--out', f'{target}.onnx']
        assert message in last_line('quantize_onnx.py', *arguments, cwd=project)
        assert (project / f'{source}.onnx').read_bytes() == before and not (project / 'smaller.onnx').exists()


def test_opset_for_older_runtimes_takes_any_number_of_images(project):
    options = ['--size', 128, 128, '--dynamic-batch', '--opset', 16]
    run_here(TOOLS / 'export_onnx.py', 'mine.py', 'mine.pth', '--out', 'older.onnx', *options, cwd=project)
    inputs, expected = example(project, 128)
    exported = onnx.load(project / 'older.onnx')
    onnx.checker.check_model(exported, full_check=True)
    assert [(entry.domain, entry.version) for entry in exported.opset_import] == [('', 16)] and exported.ir_version == 8
    for backend in ('onnxruntime', 'openvino'):
        found = Session(project / 'older.onnx', backend)(**inputs)
        np.testing.assert_allclose(found['scores'], expected['scores'], atol=1e-4)


@pytest.mark.parametrize('output', ['boxes', 'scores'])
def test_verification_does_not_lose_a_nan(output, tmp_path):
    class Graph(torch.nn.Module):
        inputs, outputs = ('images', 'sizes'), ('boxes', 'scores')

        def forward(self, images, sizes):
            scores = images.mean((1, 2, 3))[:, None] + torch.tensor([0.9, 0.5])
            return scores[..., None] * sizes.repeat(1, 2)[:, None], scores

    class Broken(Graph):
        def forward(self, images, sizes):
            found = dict(zip(self.outputs, super().forward(images, sizes)))
            found[output][:, 1] = (0 * images.sum()).log() * 0  # computed, since a weight would not be read
            return tuple(found.values())

    task = next(task for task in TASKS if task.name == 'detector')
    names = dict(input_names=['images', *task.inputs], output_names=task.outputs)
    example = [torch.zeros(1, 3, 4, 4), torch.ones(1, 2)]
    samples = [dict(inputs=example[0][0], data_samples=DetDataSample(metainfo=dict(ori_shape=(4, 4))))]
    verify = partial(runpy.run_path(str(TOOLS / 'export_onnx.py'))['verify'], precision=PRECISIONS['f32'])
    for graph in (Graph(), Broken()):
        to_onnx(graph.eval(), example, **names).save(tmp_path / f'{type(graph).__name__}.onnx')
    assert verify(Graph(), task, tmp_path / 'Graph.onnx', samples)[0] < 1e-6
    assert np.isnan(verify(Broken(), task, tmp_path / 'Graph.onnx', samples)[0])  # PyTorch's alone
    with pytest.raises(ValueError, match=rf"Broken\.onnx: its output '{output}' is not finite"):
        verify(Graph(), task, tmp_path / 'Broken.onnx', samples)


@pytest.mark.parametrize('project', ['classifier'], indirect=True)
def test_what_is_no_model_is_refused_in_one_line(project):
    (project / 'broken.onnx').write_bytes(b'no model')
    export = ['mine.py', 'mine.pth', '--out', 'x.onnx']
    for script, arguments, message in [
        ('deploy_test.py', ['mine.py', 'broken.onnx'], r'^broken\.onnx: not an ONNX file'),
        ('export_onnx.py', [*export, '--verify', '--size', 96, 96], r'^--verify: the test pipeline makes images of'),
        ('export_onnx.py', [*export, '--opset', 15], r'^--opset 15: can be 16 to 20$'),
        ('export_onnx.py', [*export, '--size', 2, 2], r'^--size 2 2: multiples of 32 fit the model'),
        ('export_onnx.py', ['mine.py', 'mine.pth', '--out', 'mine.pth'], r'^mine\.pth: is the file to read'),
        ('export_onnx.py', ['mine.py', 'mine.pth', '--out', '.'], r'^\.: there is something that is no file'),
        ('deploy_test.py', ['mine.py', 'broken.onnx', '--out', 'x\n.txt'], r'^--out x\\n\.txt: its name must end with'),
        ('quantize_onnx.py', ['mine.py', 'broken.onnx', '--out', 'x.onnx'], r'^broken\.onnx: not an ONNX file'),
        ('model_converters/reparameterize_model.py', ['mine.py', 'mine.pth', './mine.pth'], r'is the file to read'),
    ]:
        assert re.search(message, last_line(script, *arguments, cwd=project))
    assert not (project / 'x.onnx').exists()
