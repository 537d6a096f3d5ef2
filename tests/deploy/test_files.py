"""Broken ONNX files are refused in one line that names file and cause; none ends the process."""

import os
from collections.abc import Callable
from contextlib import nullcontext
from math import inf as INF
from math import nan as NAN
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from mmspartan.deploy.evaluation import check_classes
from mmspartan.deploy.files import cause, check_finite, read_onnx
from mmspartan.deploy.onnx import to_onnx
from mmspartan.deploy.session import Session
from mmspartan.errors import InputError
from mmspartan_cli.choices import BACKENDS

KERNEL = np.ones((4, 3, 8, 8), dtype=np.float32)


def build(*nodes, kernel: np.ndarray = KERNEL) -> onnx.ModelProto:
    images = helper.make_tensor_value_info('images', TensorProto.FLOAT, [1, 3, 8, 8])
    scores = helper.make_tensor_value_info('scores', TensorProto.FLOAT, [1, 4, 1, 1])
    nodes = nodes or (helper.make_node('Conv', ['images', 'kernel'], ['scores']),)
    graph = helper.make_graph(nodes, 'graph', [images], [scores], [numpy_helper.from_array(kernel, 'kernel')])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)


def without_kernel() -> onnx.ModelProto:
    model = build()
    del model.graph.initializer[:]
    return model


def kernel_elsewhere() -> onnx.ModelProto:
    model = build()
    kernel = model.graph.initializer[0]
    kernel.ClearField('raw_data')
    kernel.data_location = TensorProto.EXTERNAL
    kernel.external_data.add(key='location', value='gone.bin')
    return model


CONTENT = build().SerializeToString()
BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    'absent': (lambda path: None, 'no such file'),
    'empty': (lambda path: path.touch(), 'is empty'),
    'folder': (lambda path: path.mkdir(), 'not a regular file'),
    'pipe': (os.mkfifo, 'not a regular file'),
    'text': (lambda path: path.write_text('no model'), 'not an ONNX file: .*Wire format'),
    'random': (lambda path: path.write_bytes(np.random.default_rng(0).bytes(2000)), 'not an ONNX file: '),
    'truncated': (lambda path: path.write_bytes(CONTENT[:-100]), 'not an ONNX file: '),
    'missing weight': (lambda path: onnx.save(without_kernel(), path), "'kernel'"),
    'missing file': (lambda path: path.write_bytes(kernel_elsewhere().SerializeToString()), r'gone\.bin'),
    'unknown operator': (
        lambda path: onnx.save(build(helper.make_node('Nonsense', ['images'], ['scores'])), path),
        'Nonsense',
    ),
    'operator of nobody': (
        lambda path: onnx.save(build(helper.make_node('Nonsense', ['images'], ['scores'], domain='some')), path),
        'Nonsense',
    ),
    'other weight': (lambda path: onnx.save(build(kernel=np.ones((4, 5, 8, 8), np.float32)), path), '5'),
}


def test_attribute_at_which_onnx_runtime_ends_the_process(tmp_path):
    nodes = [helper.make_node('GatherND', ['images', 'kernel'], ['scores'], name='pick', batch_dims=-(2**31))]
    onnx.save(build(*nodes), tmp_path / 'a.onnx')
    with pytest.raises(InputError, match=r'a\.onnx: pick: batch_dims is negative'):
        read_onnx(tmp_path / 'a.onnx')


@pytest.mark.parametrize('backend', BACKENDS)
@pytest.mark.parametrize('kind', BROKEN)
def test_cause_is_said_in_one_line(kind, backend, tmp_path):
    path = tmp_path / 'broken.onnx'
    make, message = BROKEN[kind]
    make(path)
    with pytest.raises(ValueError, match=rf'broken\.onnx: .*{message}') as refused:
        Session(path, backend)(images=np.zeros((1, 3, 8, 8), dtype=np.float32))
    assert str(refused.value).startswith(str(path)) and '\n' not in str(refused.value)
    assert 'Exception from' not in str(refused.value) and 'ONNXRuntimeError' not in str(refused.value)


def test_file_that_may_not_be_read(tmp_path, monkeypatch):
    onnx.save(build(), tmp_path / 'x.onnx')

    def refuse(*args):
        raise PermissionError(13, 'Permission denied')

    monkeypatch.setattr(Path, 'open', refuse)
    with pytest.raises(ValueError, match=r'x\.onnx: cannot be read: Permission denied$'):
        read_onnx(tmp_path / 'x.onnx')


@pytest.mark.parametrize(('name', 'shape'), [('detail', [1, 3]), ('images', [])])
def test_file_of_something_else_is_refused(name, shape, tmp_path):
    values = [helper.make_tensor_value_info(key, TensorProto.FLOAT, shape) for key in (name, 'scores')]
    graph = helper.make_graph([helper.make_node('Relu', [name], ['scores'])], 'graph', values[:1], values[1:])
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid('', 17)]), tmp_path / 'x.onnx')
    with pytest.raises(ValueError, match=r"x\.onnx: not a file of tools/export_onnx\.py: no batches of 'images'"):
        Session(tmp_path / 'x.onnx')


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('Exception from a.cpp:1:\nCheck x failed at b.cpp:2:\nno kernel\n\n', 'no kernel'),
        ('[ONNXRuntimeError] : 1 : FAIL : Load model from x.onnx failed:no\n kernel', 'no kernel'),
        (
            '[ONNXRuntimeError] : 1 : FAIL : /onnxruntime_src/a.h:46 void a::b(const c<d>&, int (e)) No kernel',
            'No kernel',
        ),
        ('Exception from a.cpp:1:', 'Exception from a.cpp:1:'),
        ('', 'RuntimeError'),
        ('long ' * 100, 'long ' * 59 + 'lo...'),
    ],
)
def test_cause_leaves_out_where_in_the_source_it_is(text, expected):
    assert cause(RuntimeError(text)) == expected


SIDES = [0, -1, 1, 2, 7, 1000, -(2**31), 2**31, 2**40, 2**62, -(2**63)]
OPERATORS = ['Conv', 'MatMul', 'Reshape', 'Div', 'Gather', 'Split', 'Tile', 'TopK', 'Loop', 'GridSample', 'Softmax']
CHANGES = st.lists(
    st.tuples(
        st.sampled_from(['attribute', 'operator', 'source', 'weight', 'side', 'dtype', 'version', 'node']),
        st.integers(0, 1000),
        st.integers(0, 1000),
    ),
    min_size=1,
    max_size=3,
)


def changed(content: bytes, changes: list[tuple[str, int, int]]) -> bytes:
    """A file that still is a protobuf, but no longer a model."""
    model = onnx.load_from_string(content)
    graph = model.graph
    for kind, i, value in changes:
        if not graph.node:
            break
        node, tensor = graph.node[i % len(graph.node)], graph.initializer[i % len(graph.initializer)]
        side = SIDES[value % len(SIDES)]
        if kind == 'attribute':
            for attribute in node.attribute:
                attribute.i = side
                attribute.ints[:] = [side for _ in attribute.ints]
        elif kind == 'operator':
            node.op_type = OPERATORS[value % len(OPERATORS)]
        elif kind == 'source':
            node.input[0] = graph.node[value % len(graph.node)].output[0]
        elif kind == 'weight' and tensor.dims:
            tensor.dims[value % len(tensor.dims)] = side
        elif kind == 'side':
            graph.input[0].type.tensor_type.shape.dim[i % 4].dim_value = side
        elif kind == 'dtype':
            if i % 2:
                tensor.data_type = value % 24
            else:
                graph.input[0].type.tensor_type.elem_type = value % 24
        elif kind == 'version':
            model.opset_import[0].version = max(side, 0) if i % 2 else value % 30
        elif kind == 'node':
            graph.node.remove(node)
    return model.SerializeToString()


@pytest.mark.parametrize(
    ('rows', 'is_refused'),
    [
        ([], False),
        ([[], []], False),
        ([[1, 2], [INF, INF]], False),
        ([[0, -INF], [0, 0]], False),
        ([[1, 2], [1, INF]], True),
        ([[1, NAN]], True),
        ([[[1]], [[-INF]], [[2]]], True),  # of channels
    ],
)
def test_constants_are_infinite_only_in_masks_and_whole_rows(rows, is_refused):
    model = build()
    model.graph.initializer.append(numpy_helper.from_array(np.array(rows, np.float32), 'anchors'))
    with (
        pytest.raises(InputError, match=r"a\.onnx: its weight 'anchors' is not finite") if is_refused else nullcontext()
    ):
        check_finite(model, 'a.onnx')


@pytest.fixture(scope='module')
def content(tmp_path_factory) -> bytes:
    """A small file with what ours are made of."""
    torch.manual_seed(0)
    layers = [
        nn.Conv2d(3, 4, 3, stride=2),
        nn.GELU(),
        nn.GroupNorm(1, 4),
        nn.Flatten(),
        nn.Linear(36, 4),
        nn.Softmax(1),
    ]
    names = dict(input_names=['images'], output_names=['scores'])
    model = to_onnx(nn.Sequential(*layers).eval(), [torch.zeros(1, 3, 8, 8)], **names).model_proto
    return model.SerializeToString()


@pytest.mark.parametrize('backend', BACKENDS)
def test_mutated_file_gives_finite_numbers_or_is_refused(backend, content, tmp_path):
    path = tmp_path / 'mutated.onnx'

    @settings(
        max_examples=60, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
    )
    @given(CHANGES)
    def check(changes):
        path.write_bytes(changed(content, changes))
        try:
            check_classes(str(path), ('a', 'b'))
            outputs = Session(path, backend, threads=1)(images=np.zeros((1, 3, 8, 8), dtype=np.float32))
        except ValueError as error:
            assert str(path) in str(error) and '\n' not in str(error)
        else:
            assert all(np.isfinite(array).all() for array in outputs.values())

    check()
