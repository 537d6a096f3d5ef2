"""Export from PyTorch to ONNX, in operations that are fast in runtimes on CPUs.

PyTorch exports GroupNorm as an InstanceNormalization of flattened features, for which OpenVINO permutes the features
from its memory layout and back, twice a block. Here GroupNorm is exported as elementary operations, which OpenVINO
fuses into one operation in any layout. OpenVINO has a fast search for the largest value only along a dimension whose
values are not neighbors in memory, and permutes the features for it. Here argmax is exported as two reductions, which
are fast in any layout.

The lowest opset that PyTorch exports is 18. For older runtimes, such as TensorRT 8.6, this module converts the model to
opset 16 or 17: onnxscript's version converter only raises opsets, and onnx's fails on graphs that PyTorch exports.
"""

from __future__ import annotations  # ONNXProgram is not in every torch

from collections.abc import Callable, Sequence
from typing import Any

import onnx
import onnx_ir as ir
import torch
from onnx_ir.passes.common import RemoveUnusedNodesPass
from onnxscript import opset18 as op
from torch import Tensor, nn

from mmspartan_cli.choices import DEFAULT_OPSET, OPSETS

from ..errors import InputError
from ..stack import release
from .precision import precision_named

TORCH_OPSET = 18  # the lowest that torch.onnx.export writes itself, which `op` is of


def group_norm(input, num_groups: int, weight=None, bias=None, eps: float = 1e-5, cudnn_enabled: bool = True):
    """Translate ``aten.group_norm`` to elementary operations."""
    axes = op.Constant(value_ints=[1, 2, 3])
    x = input
    if num_groups != 1:
        axes = op.Constant(value_ints=[2])
        x = op.Reshape(x, op.Constant(value_ints=[0, num_groups, -1]))
    x = standardize(x, axes, eps)
    if num_groups != 1:
        x = op.Reshape(x, op.Shape(input))
    if weight is not None:
        shape = op.Constant(value_ints=[-1, 1, 1])
        x = op.Add(op.Mul(x, op.Reshape(weight, shape)), op.Reshape(bias, shape))
    return x


def argmax(x, dim: int | None = None, keepdim: bool = False):
    """Translate ``aten.argmax`` to two reductions. At a position with NaN the result is some index."""
    if dim is None:
        return op.ArgMax(op.Reshape(x, op.Constant(value_ints=[-1])), axis=0, keepdims=0)
    rank, axis = len(x.shape), op.Constant(value_ints=[dim])
    count = op.Squeeze(op.Shape(x, start=dim, end=dim % rank + 1))
    last = op.Sub(count, op.Constant(value_int=1))
    # integers, since a runtime that computes in BF16 would round numbers above 256
    indices = op.Range(op.Constant(value_int=0), count, op.Constant(value_int=1))
    indices = op.Reshape(indices, op.Constant(value_ints=[-1] + [1] * (rank - 1 - dim % rank)))
    smaller = op.Less(x, op.ReduceMax(x, axis))
    # The last index takes the place of all that are smaller, so that every result is an index of the dimension.
    return op.ReduceMin(op.Where(smaller, last, indices), axis, keepdims=int(keepdim))


def layer_norm(input, normalized_shape, weight=None, bias=None, eps: float = 1e-5, cudnn_enable: bool = True):
    """Translate ``aten.layer_norm`` for opset 16, which has no LayerNormalization."""
    x = standardize(input, op.Constant(value_ints=list(range(-len(normalized_shape), 0))), eps)
    x = x if weight is None else op.Mul(x, weight)
    return x if bias is None else op.Add(x, bias)


def standardize(x, axes, eps: float):
    """Subtract the mean over ``axes`` and divide by the standard deviation."""
    centered = op.Sub(x, op.ReduceMean(x, axes))
    variance = op.ReduceMean(op.Pow(centered, op.Constant(value_float=2.0)), axes)
    return op.Div(centered, op.Sqrt(op.Add(variance, op.Constant(value_float=eps))))


def to_onnx(
    model: nn.Module,
    inputs: Sequence[Tensor],
    opset: int = DEFAULT_OPSET,
    precision: str = 'f32',
    **options: Any,
) -> torch.onnx.ONNXProgram:
    """Export a model by ``torch.onnx.export`` with the translations of this module, without metadata of the nodes.

    Args:
        model: A model in evaluation mode.
        inputs: Example inputs.
        opset: Opset of the file, 16 to 20. The IR version is the oldest one that supports it.
        precision: What the file will be used in, a name of the table ``PRECISIONS``. In FP16, which is for GPUs,
            argmax stays one operation: where a runtime fuses others, it may compare an input that is not rounded with a
            maximum that is.
        **options: Further arguments of ``torch.onnx.export``.

    Raises:
        InputError: If the opset is out of range, or lacks an operation of the model, or if torch is older than 2.6.
    """
    if opset not in OPSETS:
        raise InputError(f'opset {opset}: can be {OPSETS[0]} to {OPSETS[-1]}')
    require_exporter()
    table: dict[Any, Callable] = {torch.ops.aten.group_norm.default: group_norm}
    if not precision_named(precision).fuses:
        table[torch.ops.aten.argmax.default] = argmax
    if opset < 17:
        table[torch.ops.aten.layer_norm.default] = layer_norm
    with torch.no_grad():
        program = torch.onnx.export(
            model,
            tuple(inputs),
            dynamo=True,
            verbose=False,
            opset_version=max(opset, TORCH_OPSET),
            custom_translation_table=table,
            **options,
        )
    assert program is not None  # None is for dynamo=False
    if opset < TORCH_OPSET:
        lower(program.model, opset)
    remove_metadata(program.model)
    program.model.ir_version = onnx.helper.find_min_ir_version_for([onnx.helper.make_opsetid('', opset)])
    return program


def require_exporter() -> None:
    """Check that torch exports with ``custom_translation_table``; raises InputError if it is older than 2.6."""
    if release(torch.__version__) < (2, 6):
        raise InputError(f'export to ONNX needs torch 2.6 or later, and {torch.__version__} is installed')


def lower(model: ir.Model, opset: int) -> None:
    """Convert a model of opset 18 to 16 or 17 in place; raises InputError if that lacks an operation of it."""
    for node in model.graph.all_nodes():
        if node.domain not in ('', 'ai.onnx'):
            continue
        since = onnx.defs.get_schema(node.op_type, TORCH_OPSET).since_version
        if since <= opset:
            continue
        rewrite = next((rule for name, rule in LOWERED.items() if node.op_type.startswith(name)), None)
        try:
            if since != TORCH_OPSET or rewrite is None:
                raise InputError(f'{node.op_type} needs opset {since}')
            rewrite(node)
        except InputError as error:
            raise InputError(f'opset {opset}: {error}') from error
    model.graph.opset_imports[''] = opset
    RemoveUnusedNodesPass()(model)  # axes that became attributes


def lower_reduction(node: ir.Node) -> None:
    """Convert the axes from an input to an attribute."""
    axes = None
    if len(node.inputs) > 1 and node.inputs[1] is not None:
        constant = ir.convenience.get_const_tensor(node.inputs[1])
        if constant is None:
            raise InputError(f'{node.op_type} over axes that are computed needs opset {TORCH_OPSET}')
        axes = constant.numpy().tolist()
    node.resize_inputs(1)
    no_axes_is_identity = drop(node, 'noop_with_empty_axes', 0)
    if axes:
        node.attributes['axes'] = ir.AttrInt64s('axes', axes)
    elif no_axes_is_identity:
        raise InputError(f'{node.op_type} over no axes needs opset {TORCH_OPSET}')


def lower_split(node: ir.Node) -> None:
    """Remove ``num_outputs``: without it the outputs of a Split have equal sizes."""
    count = drop(node, 'num_outputs')
    if count is None:
        return
    axis = node.attributes.get_int('axis', 0)
    shape = node.inputs[0].shape
    size = shape[axis] if shape is not None else None
    if not isinstance(size, int) or size % count:
        raise InputError(f'Split in {count} unequal parts needs opset {TORCH_OPSET}')


def lower_resize(node: ir.Node) -> None:
    for name, default in (('antialias', 0), ('keep_aspect_ratio_policy', 'stretch'), ('axes', None)):
        if drop(node, name, default) != default:
            raise InputError(f'Resize with {name} needs opset {TORCH_OPSET}')


def lower_pad(node: ir.Node) -> None:
    if len(node.inputs) > 3 and node.inputs[3] is not None:
        raise InputError(f'Pad with axes needs opset {TORCH_OPSET}')
    node.resize_inputs(min(len(node.inputs), 3))


def lower_scatter(node: ir.Node) -> None:
    if node.attributes.get_string('reduction', 'none') not in ('none', 'add', 'mul'):
        raise InputError(f'{node.op_type} that reduces by min or max needs opset {TORCH_OPSET}')


# Conversions of the operations that changed in opset 18, by the start of the operation's name.
LOWERED = dict(
    Reduce=lower_reduction,
    Split=lower_split,
    Resize=lower_resize,
    Pad=lower_pad,
    Scatter=lower_scatter,
)


def drop(node: ir.Node, name: str, default: Any = None) -> Any:
    """Remove an attribute of a node and return its value."""
    attribute = node.attributes.pop(name, None)
    return default if attribute is None else attribute.value


def remove_metadata(model: ir.Model) -> None:
    """Remove the exporter's metadata of nodes, a third of a small file, which contains paths of this machine."""
    for node in model.graph.all_nodes():
        node.metadata_props.clear()
        for value in node.outputs:
            value.metadata_props.clear()
