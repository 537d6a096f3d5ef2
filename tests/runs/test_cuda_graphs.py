"""Which calls are captured, and that a detector can be: on fake tensors, which are on a GPU where there is none."""

import copy
import pickle
from collections.abc import Iterator
from functools import partial

import pytest
import torch
from mmengine.config import Config
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mmspartan.deploy import deploy
from mmspartan.ops.made_once import held, made_once
from mmspartan.rtdetr import RTDETRHead
from mmspartan.runs import cuda_graphs
from mmspartan.runs.cuda_graphs import CudaGraphs, use_cuda_graphs
from tests.rtdetr.test_detector import batch
from tests.rtdetr.test_detector import build as build_detector


def on_fake_gpu(model: nn.Module) -> nn.Module:
    for module in model.modules():
        for tensors in (module._parameters, module._buffers):
            for name, value in tensors.items():
                if value is not None:
                    fake = torch.empty(value.shape, dtype=value.dtype, device='cuda')
                    tensors[name] = nn.Parameter(fake) if isinstance(value, nn.Parameter) else fake
    return model


@pytest.fixture
def fake_gpu() -> Iterator[None]:
    with FakeTensorMode(), torch.no_grad():
        yield


@pytest.fixture
def captured(monkeypatch) -> list[torch.Size]:
    """Shapes that are captured."""
    shapes: list[torch.Size] = []

    def capture(network, x, memory):
        shapes.append(x.shape)
        return lambda x: ('captured',)

    monkeypatch.setattr(cuda_graphs, 'capture', capture)
    monkeypatch.setattr(cuda_graphs.Memory, 'on', lambda device: cuda_graphs.Memory(None, None))
    return shapes


@pytest.mark.usefixtures('fake_gpu')
def test_a_shape_is_captured_when_it_comes_again(captured, monkeypatch):
    run = partial(CudaGraphs(most=2), lambda x: ('plain',))
    first, second, third = (torch.empty(1, 3, side, side, device='cuda') for side in (32, 64, 96))
    assert [run(x)[0] for x in (first, second, first, first)] == ['plain', 'plain', 'captured', 'captured']
    assert captured == [first.shape]
    with monkeypatch.context() as patch:
        patch.setattr(torch, 'is_autocast_enabled', lambda: True)  # without a GPU there is none
        assert [run(first)[0] for _ in range(2)] == ['plain', 'captured']
    assert [run(x)[0] for x in (second, third, third, first)] == ['plain', 'plain', 'plain', 'captured']
    assert run(first, settings=1) == ('plain',)


@pytest.mark.usefixtures('fake_gpu')
def test_not_captured(captured):
    run = partial(CudaGraphs(), lambda x: ('plain',))
    on_gpu = torch.empty(1, 3, 32, 32, device='cuda')
    for _ in range(3):
        assert run(torch.empty(1, 3, 32, 32)) == ('plain',)
        with torch.enable_grad():
            assert run(on_gpu) == ('plain',)
    assert captured == []


@pytest.mark.usefixtures('fake_gpu')
def test_a_capture_that_fails_is_tried_once(captured, monkeypatch, caplog):
    def fail(*args):
        captured.append(args[1].shape)
        raise RuntimeError('operation not permitted when stream is capturing\nCUDA kernel errors')

    monkeypatch.setattr(cuda_graphs, 'capture', fail)
    run = partial(CudaGraphs(), lambda x: ('plain',))
    x = torch.empty(1, 3, 32, 32, device='cuda')
    assert [run(x) for _ in range(4)] == [('plain',)] * 4
    assert len(captured) == 1


class HostUse(TorchDispatchMode):
    """Operations that read or write tensors on the host, or read values of tensors on the GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        tensors = [leaf for leaf in tree_leaves((args, kwargs, result)) if isinstance(leaf, Tensor)]
        if any(not tensor.is_cuda for tensor in tensors) or 'local_scalar' in str(function):
            self.names.append(str(function))
        return result


def test_a_detector_computes_on_its_device_only():
    model = build_detector().eval()
    model(torch.rand(1, 3, 96, 416))  # checks of values run here
    with FakeTensorMode(), torch.no_grad():
        on_fake_gpu(model)
        images = torch.empty(1, 3, 96, 416, device='cuda')  # a size of no other test: constants are kept by their size
        use_cuda_graphs(model, Config(dict(cuda_graphs=False)))
        assert model.cuda_graphs is None
        use_cuda_graphs(model, Config())
        assert isinstance(model.cuda_graphs, CudaGraphs)
        with HostUse() as first:
            model._forward(images)
        with HostUse() as second:
            logits, boxes = model._forward(images)
    assert first.names  # what is made once
    assert second.names == []
    assert logits.is_cuda and boxes.shape[-1] == 4


def test_on_a_cpu_nothing_changes():
    model = build_detector()
    use_cuda_graphs(model, Config())
    assert model.cuda_graphs is None


def test_predictions_are_the_same_through_the_function():
    model, found = build_detector().eval(), []
    for graphs in (None, CudaGraphs()):
        model.cuda_graphs = graphs
        with torch.no_grad():
            samples = model.test_step(batch(1, 2))
        found.append([value for sample in samples for value in sample.pred_instances.values()])
    torch.testing.assert_close(*found, rtol=0, atol=0)


@pytest.mark.parametrize(
    'change',
    [
        copy.deepcopy,
        lambda model: pickle.loads(pickle.dumps(model)),
        nn.Module.double,
        deploy,
        lambda model: model.switch_to_deploy() or model,
        lambda model: model.load_state_dict(model.state_dict()) and model,
    ],
)
def test_other_weights_have_other_graphs(change):
    model = build_detector().eval()
    model.cuda_graphs = CudaGraphs(most=3)
    model.cuda_graphs.graphs['a shape'] = before = model._forward
    changed = change(model).cuda_graphs
    assert changed.graphs == {} and changed.most == 3 and before


def test_a_detector_with_steps_of_its_own_is_not_captured():
    model = build_detector()
    assert model.is_capturable
    model.bbox_head.__class__ = type('Mine', (RTDETRHead,), dict(predict=lambda self: None))
    assert not model.is_capturable


def test_constants_in_use_are_kept():
    make = made_once(lambda n: torch.zeros(n), most=1)
    with held() as constants:
        value = make(2)
        make(3)
    assert [len(constant) for constant in constants] == [2, 3] and constants[0] is value
    make(4)
    assert len(constants) == 2
