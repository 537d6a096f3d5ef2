"""Training on less memory: what is cheap to compute again is not kept for the backward pass.

Autograd keeps the input of each operation. Of the chains here only the first input is kept, and the backward pass
computes the rest from it, in as few passes over memory as it takes. Values are the same. Where gradients are not asked
for, where a compiler decides itself what to keep, and for modules not known here, the plain operations run.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from .memory_format import in_memory_order
from .tracing import is_traced

aten = torch.ops.aten

# Activation and its derivative times a gradient, both into a given tensor.
ACTIVATIONS = {
    nn.GELU: (aten.gelu.out, aten.gelu_backward.grad_input),
    nn.SiLU: (aten.silu.out, aten.silu_backward.grad_input),
}


def superpose(amplitude: Tensor, phase: Tensor, strongest: Tensor, act: nn.Module) -> Tensor:
    """``wave + wave[strongest]`` with ``wave = amplitude * act(phase)`` (paper Eq. 8).

    Args:
        amplitude, phase (Tensor): ``(B, N, H, W)``. Kept for the backward pass.
        strongest (Tensor): Channel in ``[0, N)`` of each position, ``(B, 1, H, W)``.
        act (nn.Module): Activation of the phase.

    Returns:
        Tensor: ``(B, N, H, W)``.
    """
    if _is_lean(phase, act):
        return _Superpose.apply(amplitude, phase, strongest, *ACTIVATIONS[type(act)])
    wave = amplitude * act(phase)
    return wave + wave.gather(1, strongest)


def norm_act(x: Tensor, norm: nn.Module, act: nn.Module) -> Tensor:
    """``act(norm(x))``, of which only ``x`` is kept where ``norm`` is a BatchNorm of one process."""
    if (
        _is_lean(x, act)
        and type(norm) is nn.BatchNorm2d
        and x.numel() > x.shape[1]  # of a single value there is no variance, which the plain operation says
        and norm.training
        and norm.affine
        and norm.track_running_stats
        and norm.momentum is not None
    ):
        norm.num_batches_tracked.add_(1)
        buffers = (norm.running_mean, norm.running_var)
        return _BatchNormAct.apply(
            x, norm.weight, norm.bias, *buffers, norm.momentum, norm.eps, *ACTIVATIONS[type(act)]
        )
    return act(norm(x))


def exact(act: nn.Module | None, table: dict[type, Any]) -> Any:
    """The entry of an activation, which is for the function itself; None for unknown ones and approximations."""
    return table.get(type(act)) if getattr(act, 'approximate', 'none') == 'none' else None


def _is_lean(x: Tensor, act: nn.Module) -> bool:
    return exact(act, ACTIVATIONS) is not None and torch.is_grad_enabled() and x.requires_grad and not is_traced()


class _Superpose(Function):
    @staticmethod
    def forward(ctx, amplitude, phase, strongest, act, act_backward):
        ctx.save_for_backward(amplitude, phase, strongest)
        ctx.act, ctx.act_backward = act, act_backward
        wave = torch.empty_like(phase)
        view, out = in_memory_order(phase, wave)
        act(view, out=out)
        wave.mul_(amplitude)
        return wave.add_(wave.gather(1, strongest))

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        amplitude, phase, strongest = ctx.saved_tensors
        # each position's strongest wave has reached all of its channels
        total = grad.sum(1, keepdim=True)
        grad_phase = (grad * amplitude).scatter_add_(1, strongest, total * amplitude.gather(1, strongest))
        grad_amplitude = torch.empty_like(amplitude)
        view, grad_view, out = in_memory_order(phase, grad_phase, grad_amplitude)
        ctx.act(view, out=out)
        strongest_act = grad_amplitude.gather(1, strongest)
        grad_amplitude.mul_(grad).scatter_add_(1, strongest, total.mul_(strongest_act))
        ctx.act_backward(grad_view, view, grad_input=grad_view)
        return grad_amplitude, grad_phase, None, None, None


class _BatchNormAct(Function):
    @staticmethod
    def forward(ctx, x, weight, bias, running_mean, running_var, momentum, eps, act, act_backward):
        y, mean, inverse_std = aten.native_batch_norm(x, weight, bias, running_mean, running_var, True, momentum, eps)
        ctx.save_for_backward(x, weight, bias, mean, inverse_std)
        ctx.eps, ctx.act_backward = eps, act_backward
        (view,) = in_memory_order(y)
        act(view, out=view)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        x, weight, bias, mean, inverse_std = ctx.saved_tensors
        scale = (weight * inverse_std)[:, None, None]
        y = torch.addcmul((bias - mean * scale.flatten())[:, None, None], x, scale).to(x.dtype)
        view, grad = in_memory_order(y, grad)
        ctx.act_backward(grad, view, grad_input=view)
        grads = aten.native_batch_norm_backward(
            y, x, weight, None, None, mean, inverse_std, True, ctx.eps, [True, True, True]
        )
        return (*grads, None, None, None, None, None, None)
