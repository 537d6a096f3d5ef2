"""Batch normalization and activation (paper Sec. III-D).

The plain form keeps the input of both for the backward pass. The other form keeps the input of the normalization, and
computes its output again. It runs on CPUs: on GPUs cuDNN's normalization, which the plain form calls, is faster.
"""

from typing import TypeGuard

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from .activations import InPlace, in_place_operators
from .memory_format import in_memory_order

aten = torch.ops.aten


def norm_act(x: Tensor, norm: nn.Module, act: nn.Module) -> Tensor:
    """``act(norm(x))``."""
    operators = in_place_operators(act, x)
    if operators is None or x.is_cuda or not _is_batch_norm_of_batch(norm, x):
        return act(norm(x))
    norm.num_batches_tracked.add_(1)
    buffers = (norm.running_mean, norm.running_var)
    return _BatchNormAct.apply(x, norm.weight, norm.bias, *buffers, norm.momentum, norm.eps, operators)


def _is_batch_norm_of_batch(norm: nn.Module, x: Tensor) -> TypeGuard[nn.BatchNorm2d]:
    """Whether ``norm`` normalizes by the statistics of this batch on this process and notes them."""
    return (
        type(norm) is nn.BatchNorm2d
        and norm.training
        and norm.affine
        and norm.track_running_stats
        and norm.momentum is not None
        and x.numel() > x.shape[1]  # a single value has no variance: nn.BatchNorm2d raises the error
    )


class _BatchNormAct(Function):
    @staticmethod
    def forward(ctx, x, weight, bias, running_mean, running_var, momentum: float, eps: float, act: InPlace) -> Tensor:
        y, mean, inverse_std = aten.native_batch_norm(x, weight, bias, running_mean, running_var, True, momentum, eps)
        ctx.save_for_backward(x, weight, bias, mean, inverse_std)
        ctx.eps, ctx.act = eps, act
        (view,) = in_memory_order(y)
        act.forward(view, out=view)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        x, weight, bias, mean, inverse_std = ctx.saved_tensors
        scale = (weight * inverse_std)[:, None, None]
        y = torch.addcmul((bias - mean * scale.flatten())[:, None, None], x, scale).to(x.dtype)
        view, grad = in_memory_order(y, grad)
        ctx.act.backward(grad, view, grad_input=view)
        grads = aten.native_batch_norm_backward(
            y, x, weight, None, None, mean, inverse_std, True, ctx.eps, [True, True, True]
        )
        return (*grads, None, None, None, None, None)
