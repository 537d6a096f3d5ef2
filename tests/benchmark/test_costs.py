"""Regressions in cost are caught by figures that are the same in each run. A lower figure lowers its bound."""

import copy
import gc
import weakref
from collections import Counter

import onnx
import pytest
import torch

from mmspartan.benchmark.costs import Operators, multiply_adds, peak_bytes, saved_bytes
from mmspartan.deploy import deploy
from mmspartan.deploy.onnx import to_onnx
from mmspartan.deploy.quantization import Feeds, count_products, quantize
from mmspartan.deploy.tasks import build_graph, task_of_model
from mmspartan.spartan.backbone import ARCHS
from mmspartan.spartan.reference import ReferenceSpaRTAN
from tests.conftest import TINY
from tests.rtdetr.test_detector import build as build_detector

X = torch.zeros(2, 3, 224, 224)


@pytest.fixture(scope='module')
def reference():
    return ReferenceSpaRTAN(**ARCHS['t'])


@pytest.mark.parametrize(('with_cp', 'share'), [(False, 0.585), (True, 0.06)])
def test_bytes_kept_for_the_backward_pass(with_cp, share, reference, build_spartan):
    ours = saved_bytes(build_spartan(arch='t', with_cp=with_cp), X)
    assert ours < share * saved_bytes(reference, X)


def test_bytes_kept_are_those_of_the_tensors():
    x = torch.zeros(1000, requires_grad=True)
    model = torch.nn.Sequential(torch.nn.Sigmoid(), torch.nn.Tanh())
    assert saved_bytes(model, x) == 2 * x.nbytes  # both keep their results
    assert peak_bytes(lambda: x + 1, 'cpu') >= x.nbytes


def test_counted_tensors_are_freed():
    alive = []

    class Model(torch.nn.Module):
        def forward(self, x):
            y = x.sigmoid()
            alive.append(weakref.ref(y))
            return y

    saved_bytes(Model(), torch.zeros(10, requires_grad=True))
    gc.collect()
    assert alive[0]() is None


def operators(model, x) -> int:
    with torch.inference_mode():
        model(x)  # the first call may prepare something
        with Operators() as counted:
            model(x)
    return len(counted.names)


def test_operators_of_a_forward_pass(reference, build_spartan):
    plain, deployed = build_spartan(arch='t').eval(), build_spartan(arch='t').eval()
    deployed.switch_to_deploy()
    channels_last = copy.deepcopy(deployed).to(memory_format=torch.channels_last)
    assert operators(plain, X) <= 1109
    assert operators(deployed, X) <= 906 < operators(reference.eval(), X)
    assert operators(channels_last, X.contiguous(memory_format=torch.channels_last)) <= 906


def test_multiply_adds_of_a_folded_network(build_spartan):
    model = build_spartan(arch='t').eval()
    before = multiply_adds(model, X)
    model.switch_to_deploy()
    # pairs instead of single channels in the convolutions of the first two stages, and no normalization
    assert multiply_adds(model, X) < 1.03 * before


def test_nodes_of_a_detector_in_int8(tmp_path):
    arch = dict(TINY, depths=(1, 1, 1, 1))
    model = build_detector(backbone=dict(type='SpaRTAN', arch=arch, out_indices=(1, 2, 3))).eval()
    task = task_of_model(model)
    inputs = task.example(1, (64, 64))
    path = tmp_path / 'model.onnx'
    names = dict(input_names=list(inputs), output_names=task.outputs)
    exact = to_onnx(build_graph(deploy(model)), list(inputs.values()), **names)
    exact.save(path)
    kinds = Counter(node.op_type for node in exact.model_proto.graph.node)
    # a GroupNorm and a channel argmax are several nodes each, which runtimes compute without permuting the features
    assert kinds.total() <= 724 and kinds['Transpose'] <= 56
    quantize(path, path, Feeds(iter([{name: value.numpy() for name, value in inputs.items()}])))
    graph = onnx.load(path).graph
    integer, products = count_products(graph)
    assert products - integer <= 9  # last ones before scores, boxes and points, and those that read boxes
    kinds = Counter(node.op_type for node in graph.node)
    # products are all that reads rounded values, and rounding changes no layout
    assert kinds['QuantizeLinear'] <= integer and kinds['Transpose'] <= 44
