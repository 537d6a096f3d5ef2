"""Batch normalization and activation (paper Sec. III-D).

The plain form keeps the input of both for the backward pass. The other form keeps the input of the normalization, and
computes its output again. It runs for ``BatchNorm2d`` on CPUs, and for ``SyncBatchNorm`` among several GPUs. On one GPU
the plain form calls cuDNN's normalization, which is faster.
"""

from types import SimpleNamespace
from typing import TypeGuard

import torch
from mmengine.dist import get_world_size
from torch import Tensor, distributed, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn.modules._functions import SyncBatchNorm

from .activations import InPlace, in_place_operators
from .device import on_gpu
from .memory_format import in_memory_order, is_channels_last

aten = torch.ops.aten


def norm_act(x: Tensor, norm: nn.Module, act: nn.Module) -> Tensor:
    """``act(norm(x))``."""
    if isinstance(norm, nn.SyncBatchNorm) and norm.training:
        return _eager_norm_act(x, norm, act)
    return _norm_act(x, norm, act)


def _norm_act(x: Tensor, norm: nn.Module, act: nn.Module) -> Tensor:
    operators = in_place_operators(act, x)
    if operators is None or not _notes_statistics_of_batch(norm, x):
        return act(norm(x))
    tensors = (x, norm.weight, norm.bias, norm.running_mean, norm.running_var)
    if isinstance(norm, nn.SyncBatchNorm):
        group = norm.process_group or distributed.group.WORLD
        processes = get_world_size(group)
        if processes > 1 and on_gpu(x):
            norm.num_batches_tracked.add_(1)
            return _SyncBatchNormAct.apply(*tensors, norm.eps, norm.momentum, group, processes, operators)
    elif not on_gpu(x):
        norm.num_batches_tracked.add_(1)
        return _BatchNormAct.apply(*tensors, norm.momentum, norm.eps, operators)
    return act(norm(x))


_eager_norm_act = torch.compiler.disable(_norm_act)  # a compiler would break its graph within the communication


def _notes_statistics_of_batch(norm: nn.Module, x: Tensor) -> TypeGuard[nn.BatchNorm2d | nn.SyncBatchNorm]:
    """Whether ``norm`` normalizes by the statistics of this batch, and notes them."""
    return (
        isinstance(norm, (nn.BatchNorm2d, nn.SyncBatchNorm))
        # mmengine's SyncBN is a subclass that changes nothing here
        and type(norm).forward in (nn.BatchNorm2d.forward, nn.SyncBatchNorm.forward)
        and norm.training
        and norm.affine
        and norm.track_running_stats
        and norm.momentum is not None
        and x.numel() > x.shape[1]  # a single value has no variance: the plain form raises the error
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


class _SyncBatchNormAct(Function):
    """As PyTorch's ``SyncBatchNorm`` function, which also waits for the GPU to select processes that have images."""

    @staticmethod
    def forward(ctx, x, weight, bias, running_mean, running_var, eps, momentum, group, processes, act) -> Tensor:
        x = x if is_channels_last(x) else x.contiguous()
        mean, inverse_std = torch.batch_norm_stats(x, eps)
        local = torch.cat([mean, inverse_std, mean.new_full((1,), x.numel() // x.shape[1])])
        gathered = [torch.empty_like(local) for _ in range(processes)]
        distributed.all_gather(gathered, local, group)
        means, inverse_stds, counts = torch.stack(gathered).split([len(mean), len(mean), 1], dim=1)
        empty = counts == 0  # a process without images sends zeros, which must not be divided by
        mean, inverse_std = torch.batch_norm_gather_stats_with_counts(
            x,
            means,
            inverse_stds.masked_fill(empty, 1),
            running_mean,
            running_var,
            momentum,
            eps,
            counts.masked_fill(empty, 1e-30).flatten().to(running_mean.dtype),
        )
        y = torch.batch_norm_elemt(x, weight, bias, mean, inverse_std, eps)
        ctx.save_for_backward(x, weight, mean, inverse_std, counts.int(), bias)
        ctx.process_group = group
        ctx.eps, ctx.act = eps, act
        return act.forward(y, out=y)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        *saved, bias = ctx.saved_tensors
        x, weight, mean, inverse_std, _ = saved
        y = torch.batch_norm_elemt(x, weight, bias, mean, inverse_std, ctx.eps)
        ctx.act.backward(grad, y, grad_input=y)
        norm = SimpleNamespace(
            saved_tensors=saved, process_group=ctx.process_group, needs_input_grad=ctx.needs_input_grad
        )
        return (*SyncBatchNorm.backward(norm, y), None)
