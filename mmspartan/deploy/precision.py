"""The precisions in which runtimes compute exported files: the table ``PRECISIONS``.

BF16 is chosen when a file is loaded: OpenVINO computes a file of float32 in it on CPUs that have it. A file can ask for
it, which :class:`~mmspartan.deploy.session.Session` follows. FP16 is a property of the file, which becomes half as
large; it is for GPUs.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import onnx

from mmspartan_cli.choices import LOADED_PRECISIONS, PRECISION_NAMES

from ..errors import InputError
from .files import metadata

PROPERTY = 'precision'  # name of the metadata by which a file asks for a precision

# Where a product begins, rounding of its inputs and weights is harmless.
PRODUCTS = ('MatMul', 'Gemm', 'Conv', 'LayerNormalization')


@dataclass(frozen=True)
class Precision:
    """How files of a precision are made, checked and run.

    Attributes:
        name: As the command line and the files have it.
        allowed: Largest median difference from PyTorch of scores, and in float32 of relative boxes: in lower precision
            detections of almost the same score exchange their places.
        runtimes: That compute a file of float32 in it on a CPU; none where the file itself has the precision.
        hint: OpenVINO's name of the precision in which it computes the file on a CPU.
        convert: Makes a file of this precision from one of float32.
        fuses: Whether runtimes fuse operations of different rounding, see :func:`~mmspartan.deploy.onnx.to_onnx`.
    """

    name: str
    allowed: float
    runtimes: tuple[str, ...] = ()
    hint: str = 'f32'
    convert: Callable[[onnx.ModelProto], onnx.ModelProto] = lambda model: model
    fuses: bool = False


def precision_named(name: str, owner: object = 'precision') -> Precision:
    """Return a precision by its name.

    Raises:
        InputError: If there is none. The message names the owner.
    """
    if name not in PRECISIONS:
        raise InputError(f'{owner}: the precision must be one of {list(PRECISIONS)}, got {name!r}')
    return PRECISIONS[name]


def precision_of(model: onnx.ModelProto, path: object = 'the file') -> Precision:
    """Return the precision that a file asks for, float32 if it asks for none.

    Raises:
        InputError: If there is no such precision. The message names the file.
    """
    return precision_named(metadata(model).get(PROPERTY, 'f32'), path)


def to_float16(model: onnx.ModelProto) -> onnx.ModelProto:
    """Convert weights and operations to FP16, but for boxes and normalization. Inputs and outputs keep their type.

    FP16 has steps of a third of a pixel at 640 pixels. Boxes, and the points that deformable attention samples, stay in
    float32 from the product that predicts them on, as in PyTorch. So does what divides by a standard deviation, as in
    PyTorch's autocast: in FP16 the square of a number above 255 is infinite.
    """
    from onnxruntime.transformers.float16 import convert_float_to_float16
    from onnxruntime.transformers.onnx_model import OnnxModel

    kept, _ = predictions(model.graph)
    kept |= {node.name for node in model.graph.node if node.op_type == 'GridSample'} | standardizations(model.graph)
    converted = OnnxModel(convert_float_to_float16(model, keep_io_types=True, node_block_list=sorted(kept)))
    keep_exact(converted.model.graph)
    converted.prune_graph()
    converted.topological_sort()  # the conversion appends casts at the end
    del converted.model.graph.value_info[:]  # it has types of before the conversion
    return converted.model


def keep_exact(graph: onnx.GraphProto) -> None:
    """Connect operations that stay in float32 directly: the conversion rounds what one gives the next to FP16."""
    casts = {node.output[0]: node for node in graph.node if node.op_type == 'Cast'}
    exact = {}
    for name, node in casts.items():
        before = casts.get(node.input[0])
        if before and (target(before), target(node)) == (onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT):
            exact[name] = node.input[0] = before.input[0]
    for node in graph.node:
        node.input[:] = [exact.get(name, name) for name in node.input]


def target(cast: onnx.NodeProto) -> int:
    return onnx.helper.get_node_attr_value(cast, 'to')


def standardizations(graph: onnx.GraphProto) -> set[str]:
    """Return the names of the operations that :func:`~mmspartan.deploy.onnx.standardize` is exported to."""
    producers = {name: node for node in graph.node for name in node.output}
    found = set()
    for division in graph.node:
        chain = [division]  # back along the divisor: Sqrt, Add, ReduceMean, Pow, Sub and the mean that it subtracts
        for kind in ('Div', 'Sqrt', 'Add', 'ReduceMean', 'Pow', 'Sub', 'ReduceMean'):
            if chain[-1] is None or chain[-1].op_type != kind:
                break
            chain.append(producers.get(chain[-1].input[kind in ('Div', 'Sub')]))
        else:
            found |= {node.name for node in chain[:-1]}
    return found


def predictions(graph: onnx.GraphProto) -> tuple[set[str], set[str]]:
    """Return the names of the operations that compute sampled points and outputs, and of the products before them."""
    producers = {name: node for node in graph.node for name in node.output}
    values = deque(node.input[1] for node in graph.node if node.op_type == 'GridSample')
    values.extend(node.output[0] for node in graph.node if node.op_type == 'Floor')  # of discrete sampling
    values.extend(value.name for value in graph.output)
    operations: set[str] = set()
    products: set[str] = set()
    while values:
        node = producers.get(values.popleft())
        if node is None or node.name in operations:
            continue
        if node.op_type in PRODUCTS:
            products.add(node.name)
        else:
            operations.add(node.name)
            values.extend(node.input)
    return operations, products


_ALL = (
    Precision('f32', 1e-3, runtimes=('onnxruntime', 'openvino')),
    Precision('bf16', 1e-3, runtimes=('openvino',), hint='bf16'),
    Precision('f16', 0.02, convert=to_float16, fuses=True),
)
PRECISIONS = {precision.name: precision for precision in _ALL}
# known before this module is imported
assert tuple(PRECISIONS) == PRECISION_NAMES
assert tuple(name for name, precision in PRECISIONS.items() if precision.runtimes) == LOADED_PRECISIONS
