"""1x1 convolutions together with what stands around them, as one matrix product.

Squeeze-and-excitation, LayerScale, and the feature decomposition scale channels and shift them, which can be done to
the weights of each image as well as to its features. While training, the features are neither made nor kept.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from torchvision.ops import SqueezeExcitation

from .memory_format import is_channels_last
from .tracing import is_traced


def channel_means(x: Tensor) -> Tensor:
    """``(B, C, H, W)`` to ``(B, C, 1, 1)``."""
    if is_traced() or not torch.is_grad_enabled():
        return x.mean((2, 3), keepdim=True)
    # the gradient of a mean would be written out at the size of x, a sum's is a view
    total = x.sum((2, 3), keepdim=True, dtype=torch.promote_types(x.dtype, torch.float32))
    return (total / (x.shape[2] * x.shape[3])).to(x.dtype)


class ChannelGate(SqueezeExcitation):
    """The factors of a squeeze-and-excitation, not applied: ``(B, C, H, W)`` to ``(B, C, 1, 1)`` in (0, 1)."""

    def __init__(self, channels: int, squeezed: int):
        super().__init__(channels, squeezed)

    def forward(self, x: Tensor) -> Tensor:
        return self.of_means(channel_means(x))

    def of_means(self, means: Tensor) -> Tensor:
        """The same from means over positions, ``(B, C, 1, 1)``."""
        if is_traced():  # runtimes know it as convolutions
            return self.scale_activation(self.fc2(self.activation(self.fc1(means))))
        # a convolution of one position costs many times as much
        squeezed = linear(means.flatten(1), self.fc1.weight.flatten(1), self.fc1.bias).relu_()
        return linear(squeezed, self.fc2.weight.flatten(1), self.fc2.bias).sigmoid_()[..., None, None]


def gated_projection(x: Tensor, gate: Tensor, conv: nn.Conv2d, scale: Tensor | None) -> Tensor:
    """``scale * conv(gate * x)``.

    Args:
        x (Tensor): ``(B, C, H, W)``.
        gate (Tensor): ``(B, C, 1, 1)``.
        conv (nn.Conv2d): A 1x1 convolution with a bias.
        scale (Tensor, optional): LayerScale, ``(out_channels, 1, 1)``, or of each image ``(B, out_channels, 1, 1)``.

    Returns:
        Tensor: ``(B, out_channels, H, W)`` in the memory format of ``x``.
    """
    # not where the matrices of all images would be larger than the features
    if not conv.training or x.shape[2] * x.shape[3] < conv.out_channels:
        x = conv(x * gate)
        return x if scale is None else scale * x
    weight, bias = conv.weight.flatten(1), conv.bias[:, None]
    if scale is not None:
        weight, bias = scale.flatten(-2) * weight, scale.flatten(-2) * bias
    return project(x, weight * gate.flatten(1)[:, None], bias)


def decomposed_projection(x: Tensor, conv: nn.Conv2d, gamma: Tensor) -> Tensor:
    """Feature decomposition (paper Eq. 3) of a projection, ``y + gamma * (y - GAP(y))`` with ``y = conv(x)``.

    Args:
        x (Tensor): ``(B, C, H, W)``.
        conv (nn.Conv2d): A 1x1 convolution with a bias.
        gamma (Tensor): ``(out_channels, 1, 1)``.

    Returns:
        Tensor: ``(B, out_channels, H, W)`` in the memory format of ``x``.
    """
    if not conv.training:
        y = conv(x)
        return y + gamma * (y - y.mean((2, 3), keepdim=True))
    weight, gamma = conv.weight.flatten(1), gamma.flatten(1)
    # the mean of projected features is the projection of their mean
    bias = conv.bias - gamma.mT * linear(channel_means(x).flatten(1), weight)
    return project(x, ((1 + gamma) * weight).expand(x.shape[0], -1, -1), bias[..., None])


def project(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Features ``(B, C, H, W)`` by matrices ``(B, out, C)``, plus ``(out, 1)`` or ``(B, out, 1)``."""
    if is_channels_last(x):
        pixels = x.permute(0, 2, 3, 1)
        y = torch.baddbmm(bias.mT, pixels.flatten(1, 2), weight.mT)
        return y.unflatten(1, pixels.shape[1:3]).permute(0, 3, 1, 2)
    return torch.baddbmm(bias, weight, x.flatten(2)).unflatten(2, x.shape[2:])
