"""Modulation of waves by complex weights and the convolution that follows (paper Eq. 9).

Channels ``(2k, 2k + 1)`` are the real and the imaginary part of one wave. They are multiplied by ``a_k + i b_k`` and
then convolved. The authors build a complex tensor of the size of the features. Both steps are linear, so the complex
weights can go into the weights of the convolution, if each of its groups holds whole pairs.
"""

from functools import partial

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn.functional import conv2d

from .device import on_gpu
from .memory_format import is_channels_last
from .tracing import is_recorded


def modulated_conv(x: Tensor, weight: Tensor, complex_weight: Tensor, groups: int) -> Tensor:
    """Modulate pairs of channels and convolve them, without bias, to the same size.

    Args:
        x (Tensor): ``(B, C, H, W)``.
        weight (Tensor): ``(C, C / groups, k, k)`` with an odd ``k``.
        complex_weight (Tensor): ``(a_k, b_k)``, ``(C / 2, 2)``.

    Returns:
        Tensor: ``(B, C, H, W)``.
    """
    padding = (weight.shape[-1] // 2,) * 2  # a pair, since torch 2.1 traces no single number
    if not _is_modulated_by_weight(x, weight):
        modulated = _Modulate.apply(x, complex_weight) if is_recorded(x) else modulate(x, complex_weight)
        return conv2d(modulated, weight, padding=padding, groups=groups)
    weight = modulated_weight(weight, complex_weight, groups)
    if weight.shape[1] == 2 and is_recorded(x) and not on_gpu(x):
        return _pair_conv(x, weight)
    return conv2d(x, weight, padding=padding, groups=len(weight) // weight.shape[1])


def _is_modulated_by_weight(x: Tensor, weight: Tensor) -> bool:
    """Whether the complex weights go into the weights of the convolution.

    That costs nothing where groups hold whole pairs. Depthwise kernels become kernels of pairs, with twice the
    multiply-adds; in training on CPUs this still costs less than the passes over memory of the plain form.
    """
    inputs = weight.shape[1]
    return inputs % 2 == 0 or (inputs == 1 and is_recorded(x) and not on_gpu(x))


def modulate(x: Tensor, complex_weight: Tensor) -> Tensor:
    """Multiply each pair of channels of ``x`` ``(B, C, H, W)`` by its complex weight, without a complex tensor."""
    a, b = complex_weight.to(x.dtype).unbind(1)
    a = torch.stack([a, a], 1).view(-1, 1, 1)
    b = torch.stack([-b, b], 1).view(-1, 1, 1)
    return torch.addcmul(x * a, swap_pairs(x), b)


class _Modulate(Function):
    """:func:`modulate`, which keeps only ``x`` for the backward pass."""

    @staticmethod
    def forward(ctx, x: Tensor, complex_weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, complex_weight)
        return modulate(x, complex_weight)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        x, complex_weight = ctx.saved_tensors
        conjugate = torch.stack([complex_weight[:, 0], -complex_weight[:, 1]], 1)
        same, crossed = (
            (grad * other).sum((0, 2, 3), dtype=complex_weight.dtype).view(-1, 2) for other in (x, swap_pairs(x))
        )
        return modulate(grad, conjugate), torch.stack([same.sum(1), crossed[:, 1] - crossed[:, 0]], 1)


def modulated_weight(weight: Tensor, complex_weight: Tensor, groups: int) -> Tensor:
    """The weight ``(C, C / groups, k, k)`` that modulates and convolves at once.

    For a depthwise convolution ``(C, 2, k, k)``, with half as many groups.
    """
    if weight.shape[1] == 1:
        groups //= 2
        identity = torch.eye(2, device=weight.device).to(weight.dtype)[..., None, None]
        weight = (weight.unflatten(0, (groups, 2)) * identity).flatten(0, 1)
    pairs = weight.shape[1] // 2
    weight = weight.unflatten(0, (groups, -1)).unflatten(2, (pairs, 2))  # (groups, out, pairs, 2, k, k)
    a, b = complex_weight.view(groups, 1, pairs, 2, 1, 1).unbind(3)
    real, imag = weight.unbind(3)
    return torch.stack([a * real + b * imag, a * imag - b * real], 3).flatten(2, 3).flatten(0, 1)


def _pair_conv(x: Tensor, weight: Tensor) -> Tensor:
    """A convolution of groups of two channels as two depthwise ones, for whose gradients CPUs have fast kernels.

    Args:
        x (Tensor): ``(B, C, H, W)``.
        weight (Tensor): ``(C, 2, k, k)``.
    """
    conv = partial(conv2d, padding=weight.shape[-1] // 2, groups=len(weight))
    pairs = weight.unflatten(0, (-1, 2))  # (C / 2, out, in, k, k)
    to_same = torch.stack([pairs[:, 0, 0], pairs[:, 1, 1]], 1).flatten(0, 1)[:, None]
    to_partner = torch.stack([pairs[:, 1, 0], pairs[:, 0, 1]], 1).flatten(0, 1)[:, None]
    # the results are swapped and not x, of which a second copy would be kept for the backward pass
    return conv(x, to_same).add_(swap_pairs(conv(x, to_partner)))


def swap_pairs(x: Tensor) -> Tensor:
    """Exchange channels ``2k`` and ``2k + 1`` of ``x`` ``(B, C, H, W)``, in the memory format of ``x``."""
    if is_channels_last(x):
        return x.permute(0, 2, 3, 1).unflatten(3, (-1, 2)).roll(1, 4).flatten(3).permute(0, 3, 1, 2)
    return x.unflatten(1, (-1, 2)).roll(1, 2).flatten(1, 2)
