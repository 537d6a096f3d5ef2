"""Inference of a deployed classifier and detector as a CUDA graph, and in half precision by TensorRT."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mmengine.registry import MODELS, DefaultScope
from torch import Tensor, nn
from torch.testing import assert_close

from mmspartan.deploy import deploy
from mmspartan.deploy.onnx import to_onnx
from mmspartan.deploy.tasks import Task, build_graph, task_of_model
from tests.conftest import TINY
from tests.gpu.conftest import with_clear_winner
from tests.rtdetr.test_detector import build as build_detector


def build_classifier() -> nn.Module:
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(
            dict(
                type='ImageClassifier',
                data_preprocessor=dict(type='ClsDataPreprocessor', mean=[120.0] * 3, std=[60.0] * 3),
                backbone=dict(type='SpaRTAN', arch=TINY),
                neck=dict(type='GlobalAveragePooling'),
                head=dict(type='LinearClsHead', num_classes=10, in_channels=TINY['channels'][-1]),
            )
        )
        model.init_weights()
    return model


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
def test_network_of_a_classifier_is_captured():
    """Without a compiler. The exported graph begins with an index of the host, which cannot be captured."""
    network = deploy(with_clear_winner(build_classifier()).cuda().eval())
    images = torch.randn(1, 3, 96, 128, device='cuda')
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):  # libraries make their workspaces in the first run
        network(images, mode='tensor')
    torch.cuda.current_stream().wait_stream(stream)
    captured = torch.cuda.CUDAGraph()
    with torch.cuda.graph(captured):
        found = network(images, mode='tensor')
    images.normal_()  # the graph reads what is there when it runs
    captured.replay()
    assert_close(found, network(images, mode='tensor'))


@torch.no_grad()
def test_compiled_into_a_cuda_graph(exported):
    task, graph, inputs = exported
    compiled = torch.compile(graph, mode='reduce-overhead')
    for _ in range(3):  # the second run is captured
        inputs['images'].uniform_(0, 255)
        found = compiled(*inputs.values())
        assert difference(task, found, graph(*inputs.values()), inputs) < 1e-3


def tensorrt_engine(path: Path, inputs: dict[str, Tensor], outputs: tuple[Tensor, ...]) -> Callable[[], None]:
    """Build an engine in half precision that reads and writes these tensors."""
    trt = pytest.importorskip('tensorrt')
    if not hasattr(trt.BuilderFlag, 'FP16'):
        pytest.skip(f'TensorRT {trt.__version__} computes in the precision of the file, which is float32')
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, logger)
    assert parser.parse_from_file(str(path)), [str(parser.get_error(i)) for i in range(parser.num_errors)]
    options = builder.create_builder_config()
    options.set_flag(trt.BuilderFlag.FP16)
    engine = trt.Runtime(logger).deserialize_cuda_engine(builder.build_serialized_network(network, options))
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
    to_onnx(graph, list(inputs.values()), input_names=list(inputs), output_names=task.outputs).save(tmp_path / 'm.onnx')
    with torch.no_grad():
        expected = as_tuple(graph(*inputs.values()))
    found = tuple(torch.empty_like(value) for value in expected)
    tensorrt_engine(tmp_path / 'm.onnx', inputs, found)()
    assert difference(task, found, expected, inputs) < 0.02
