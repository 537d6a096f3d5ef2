"""Inference of a classifier and a detector as CUDA graphs, and in half precision by TensorRT."""

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
import torch
from mmengine.config import Config
from torch import Tensor, nn
from torch.testing import assert_close

from mmspartan import get_model
from mmspartan.deploy import deploy
from mmspartan.deploy.onnx import to_onnx
from mmspartan.deploy.precision import to_float16
from mmspartan.deploy.tasks import Task, build_graph, task_of_model
from mmspartan.runs.cuda_graphs import CudaGraphs, use_cuda_graphs
from tests.conftest import TINY
from tests.gpu.conftest import with_clear_winner
from tests.rtdetr.test_detector import build as build_detector


def build_classifier() -> nn.Module:
    torch.manual_seed(0)
    small = dict(backbone=dict(arch=dict(TINY, _delete_=True)), head=dict(in_channels=TINY['channels'][-1]))
    return get_model('spartan_xt_digits', **small)


@pytest.fixture(params=[build_classifier, build_detector], ids=['classifier', 'detector'])
def exported(request) -> tuple[Task, nn.Module, dict[str, Tensor]]:
    """The task, the deployed graph, and inputs for it."""
    model = with_clear_winner(request.param()).cuda().eval()
    task = task_of_model(model)
    inputs = {name: value.cuda() for name, value in task.example(1, (96, 128)).items()}
    return task, build_graph(deploy(model)), inputs


def as_tuple(outputs) -> tuple[Tensor, ...]:
    return outputs if isinstance(outputs, tuple) else (outputs,)


def difference(task: Task, found, expected, inputs: dict[str, Tensor]) -> float:
    results = [
        dict(zip(task.outputs, (value[0].cpu().numpy() for value in as_tuple(out)))) for out in (found, expected)
    ]
    return task.difference(*results, {name: value.cpu().numpy() for name, value in inputs.items()})


@torch.no_grad()
def test_classifier_is_captured_without_a_compiler():
    graph = build_graph(deploy(with_clear_winner(build_classifier()).cuda().eval()))
    images = torch.randn(1, 3, 96, 128, device='cuda')
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):  # libraries make their workspaces in the first run
        graph(images)
    torch.cuda.current_stream().wait_stream(stream)
    captured = torch.cuda.CUDAGraph()
    with torch.cuda.graph(captured):
        found = graph(images)
    images.normal_()  # the graph reads what is there when it runs
    captured.replay()
    assert_close(found, graph(images))


@torch.no_grad()
@pytest.mark.parametrize('amp', [False, True])
def test_detector_predicts_by_a_cuda_graph(amp):
    """With the values of the eager network, also of changed weights, and after other sizes have run."""
    model = with_clear_winner(build_detector()).cuda().eval()
    use_cuda_graphs(model, Config())
    assert isinstance(model.cuda_graphs, CudaGraphs)

    def run(graphs: bool) -> tuple[Tensor, ...]:
        with torch.autocast('cuda', torch.float16, enabled=amp):  # anew each time: it keeps converted weights
            return model.cuda_graphs(model._forward, images) if graphs else model._forward(images)

    for step in range(6):
        images = torch.rand(1, 3, 96, 128 + 32 * (step % 2), device='cuda')
        found, expected = run(True), run(False)
        model.bbox_head.cls_branches[-2].bias.add_(0.5)
        assert_close(run(True), run(False), rtol=1e-3, atol=1e-3)
        model.bbox_head.cls_branches[-2].bias.sub_(0.5)
        assert_close(found, expected, rtol=1e-3, atol=1e-3)  # not overwritten
    assert len(model.cuda_graphs.graphs) == 2 and not model.cuda_graphs.failed


@torch.no_grad()
def test_what_cannot_be_captured_runs_as_it_is():
    graphs, x = CudaGraphs(), torch.rand(3, device='cuda')
    before = torch.cuda.current_stream()
    for _ in range(3):
        assert_close(graphs(lambda x: (x * x.sum().item(),), x)[0], x * x.sum())
    assert graphs.failed and torch.cuda.current_stream() == before


@torch.no_grad()
def test_compiled_into_a_cuda_graph(exported):
    task, graph, inputs = exported
    compiled = torch.compile(graph, mode='reduce-overhead')
    for _ in range(3):  # the second run is captured
        inputs['images'].uniform_(0, 255)
        found = compiled(*inputs.values())
        assert difference(task, found, graph(*inputs.values()), inputs) < 1e-3


def tensorrt_engine(path: Path, inputs: dict[str, Tensor], outputs: tuple[Tensor, ...]) -> Callable[[], None]:
    """Build an engine in the precision of the file that reads and writes these tensors."""
    trt = pytest.importorskip('tensorrt')
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    typed = getattr(trt.NetworkDefinitionCreationFlag, 'STRONGLY_TYPED', None)  # without it all networks are
    network = builder.create_network(0 if typed is None else 1 << int(typed))
    parser = trt.OnnxParser(network, logger)
    assert parser.parse_from_file(str(path)), [str(parser.get_error(i)) for i in range(parser.num_errors)]
    engine = builder.build_serialized_network(network, builder.create_builder_config())
    engine = trt.Runtime(logger).deserialize_cuda_engine(engine)
    context = engine.create_execution_context()
    names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
    for name, tensor in zip(names, (*inputs.values(), *outputs), strict=True):
        assert tuple(engine.get_tensor_shape(name)) == tensor.shape
        context.set_tensor_address(name, tensor.data_ptr())

    def run() -> None:
        assert context.execute_async_v3(torch.cuda.current_stream().cuda_stream)
        torch.cuda.synchronize()

    return run


def test_tensorrt_in_half_precision(exported, tmp_path):
    pytest.importorskip('tensorrt')
    task, graph, inputs = exported
    names = dict(input_names=list(inputs), output_names=task.outputs)
    program = to_onnx(graph, list(inputs.values()), precision='f16', **names)
    onnx.save(to_float16(program.model_proto), tmp_path / 'm.onnx')
    with torch.no_grad():
        expected = as_tuple(graph(*inputs.values()))
    found = tuple(torch.empty_like(value) for value in expected)
    tensorrt_engine(tmp_path / 'm.onnx', inputs, found)()
    assert difference(task, found, expected, inputs) < 0.02
