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
        if is_recorded(x):
            pairs = _MultiplyPairs.apply(x.unflatten(1, (-1, 2)), complex_weight[..., None, None], 1)
            modulated = pairs.flatten(1, 2)
        else:
            modulated = modulate(x, complex_weight)
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


class _MultiplyPairs(Function):
    """Complex product of real and imaginary parts in few operations, which keeps only its inputs.

    Args:
        x (Tensor): ``(..., N, 2, H, W)``.
        factor (Tensor): ``(a, b)``, ``(..., N, 2, 1, 1)``.
        sign (int): 1 multiplies by ``a + i b``, -1 by ``a - i b``.
    """

    @staticmethod
    def forward(ctx, x: Tensor, factor: Tensor, sign: int) -> Tensor:
        ctx.save_for_backward(x, factor)
        ctx.sign = sign
        return _MultiplyPairs.product(x, factor, sign)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        x, factor = ctx.saved_tensors
        (real, imag), (grad_real, grad_imag) = x.unbind(-3), grad.unbind(-3)
        grad_a = (grad_real * real).addcmul_(grad_imag, imag)
        grad_b = (grad_imag * real).addcmul_(grad_real, imag, value=-1)
        shape = factor.select(-3, 0).shape
        over = [i for i in range(-grad_a.dim(), 0) if i < -len(shape) or shape[i] == 1]
        sums = [part.sum(over, dtype=factor.dtype).view(shape) for part in (grad_a, grad_b)]
        if ctx.sign < 0:
            sums[1].neg_()
        return _MultiplyPairs.product(grad, factor, -ctx.sign), torch.stack(sums, -3), None

    @staticmethod
    def product(x: Tensor, factor: Tensor, sign: int) -> Tensor:
        product = torch.empty_like(x)
        (real, imag), (a, b), (out_real, out_imag) = x.unbind(-3), factor.unbind(-3), product.unbind(-3)
        torch.mul(real, a, out=out_real).addcmul_(imag, b, value=-sign)
        torch.mul(imag, a, out=out_imag).addcmul_(real, b, value=sign)
        return product


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
    factor = complex_weight.view(groups, 1, pairs, 2, 1, 1)
    if is_recorded(weight):
        weight = _MultiplyPairs.apply(weight, factor, -1)
    else:
        (a, b), (real, imag) = factor.unbind(3), weight.unbind(3)
        weight = torch.stack([a * real + b * imag, a * imag - b * real], 3)
    return weight.flatten(2, 3).flatten(0, 1)


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
