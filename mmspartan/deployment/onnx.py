"""From PyTorch to ONNX, in operations that the runtimes of CPUs take at their best.

PyTorch exports GroupNorm as an InstanceNormalization of flattened features, for which OpenVINO turns them from its own
memory layout into rows of channels and back, twice a block. With one group it is written out here instead: OpenVINO
knows the chain as one operation again, in any layout.
"""

from collections.abc import Sequence
from typing import Any

import torch
from onnxscript import opset20 as op
from torch import Tensor, nn


def group_norm(input, num_groups: int, weight=None, bias=None, eps: float = 1e-5, cudnn_enabled: bool = True):
    axes = op.Constant(value_ints=[1, 2, 3])
    x = input
    if num_groups != 1:
        axes = op.Constant(value_ints=[2])
        x = op.Reshape(x, op.Constant(value_ints=[0, num_groups, -1]))
    centered = op.Sub(x, op.ReduceMean(x, axes))
    variance = op.ReduceMean(op.Pow(centered, op.Constant(value_float=2.0)), axes)
    x = op.Div(centered, op.Sqrt(op.Add(variance, op.Constant(value_float=eps))))
    if num_groups != 1:
        x = op.Reshape(x, op.Shape(input))
    if weight is not None:
        shape = op.Constant(value_ints=[-1, 1, 1])
        x = op.Add(op.Mul(x, op.Reshape(weight, shape)), op.Reshape(bias, shape))
    return x


def to_onnx(model: nn.Module, inputs: Sequence[Tensor], **options: Any) -> torch.onnx.ONNXProgram:
    """``torch.onnx.export`` with the above."""
    table = {torch.ops.aten.group_norm.default: group_norm}
    with torch.no_grad():
        return torch.onnx.export(
            model, tuple(inputs), dynamo=True, verbose=False, custom_translation_table=table, **options
        )
