"""1x1 convolutions of scaled features, as one matrix product for each image.

Squeeze-and-excitation and LayerScale scale channels. The plain form does so to the features, the other form to the
weights of the convolution, so that the scaled features are neither made nor kept for the backward pass.
"""

import torch
from torch import Tensor, nn

from .device import on_gpu
from .memory_format import is_channels_last
from .tracing import trains


def gated_projection(x: Tensor, gate: Tensor, conv: nn.Conv2d, scale: Tensor | None = None) -> Tensor:
    """``scale * conv(gate * x)``: projection of recalibrated features (paper Eq. 6 and 10) and LayerScale.

    Args:
        x (Tensor): ``(B, C, H, W)``.
        gate (Tensor): ``(B, C, 1, 1)``.
        conv (nn.Conv2d): A 1x1 convolution with a bias.
        scale (Tensor, optional): LayerScale, ``(out_channels, 1, 1)``, or of each image ``(B, out_channels, 1, 1)``.

    Returns:
        Tensor: ``(B, out_channels, H, W)`` in the memory format of ``x``.
    """
    # with fewer positions than output channels the matrices of all images would be larger than the features
    if on_gpu(x) or not trains(conv, x) or x.shape[2] * x.shape[3] < conv.out_channels:
        x = conv(x * gate)
        return x if scale is None else scale * x
    weight, bias = conv.weight.flatten(1), conv.bias[:, None]
    if scale is not None:
        weight, bias = scale.flatten(-2) * weight, scale.flatten(-2) * bias
    return _project(x, weight * gate.flatten(1)[:, None], bias)


def _project(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Features ``(B, C, H, W)`` times matrices ``(B, out, C)``, plus ``(out, 1)`` or ``(B, out, 1)``."""
    if is_channels_last(x):
        pixels = x.permute(0, 2, 3, 1)
        y = torch.baddbmm(bias.mT, pixels.flatten(1, 2), weight.mT)
        return y.unflatten(1, pixels.shape[1:3]).permute(0, 3, 1, 2)
    return torch.baddbmm(bias, weight, x.flatten(2)).unflatten(2, x.shape[2:])
