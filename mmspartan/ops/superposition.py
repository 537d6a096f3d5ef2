"""Superposition of waves (paper Sec. III-C, Eq. 8).

The plain form keeps five feature maps for the backward pass. The other form keeps amplitude and phase, and computes the
activation again.
"""

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from .activations import InPlace, in_place_operators
from .device import on_gpu
from .memory_format import in_memory_order


def superpose(amplitude: Tensor, phase: Tensor, strongest: Tensor, act: nn.Module) -> Tensor:
    """``wave + wave[strongest]`` with ``wave = amplitude * act(phase)``.

    Args:
        amplitude, phase (Tensor): ``(B, N, H, W)``.
        strongest (Tensor): Channel in ``[0, N)`` of each position, ``(B, 1, H, W)``.
        act (nn.Module): Activation of the phase, which approximates the sinusoid.

    Returns:
        Tensor: ``(B, N, H, W)``.
    """
    operators = None if on_gpu(phase) else in_place_operators(act, phase)
    if operators is not None:
        return _Superpose.apply(amplitude, phase, strongest, operators)
    wave = amplitude * act(phase)
    return wave + wave.gather(1, strongest)


class _Superpose(Function):
    @staticmethod
    def forward(ctx, amplitude: Tensor, phase: Tensor, strongest: Tensor, act: InPlace) -> Tensor:
        ctx.save_for_backward(amplitude, phase, strongest)
        ctx.act = act
        wave = torch.empty_like(phase)
        view, out = in_memory_order(phase, wave)
        act.forward(view, out=out)
        wave.mul_(amplitude)
        return wave.add_(wave.gather(1, strongest))

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        amplitude, phase, strongest = ctx.saved_tensors
        # the strongest wave of a position was added to all channels of this position
        total = grad.sum(1, keepdim=True, dtype=grad.dtype)  # autocast would return float32
        grad_phase = (grad * amplitude).scatter_add_(1, strongest, total * amplitude.gather(1, strongest))
        grad_amplitude = torch.empty_like(amplitude)
        view, grad_view, out = in_memory_order(phase, grad_phase, grad_amplitude)
        ctx.act.forward(view, out=out)
        strongest_act = grad_amplitude.gather(1, strongest)
        grad_amplitude.mul_(grad).scatter_add_(1, strongest, total.mul_(strongest_act))
        ctx.act.backward(grad_view, view, grad_input=grad_view)
        return grad_amplitude, grad_phase, None, None
