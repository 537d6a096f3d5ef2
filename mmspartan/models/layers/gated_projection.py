"""Squeeze-and-excitation, projection and LayerScale as one matrix product."""

import torch
from torch import Tensor, nn
from torchvision.ops import SqueezeExcitation


class ChannelGate(SqueezeExcitation):
    """The factors of a squeeze-and-excitation, not applied: ``(B, C, H, W)`` to ``(B, C, 1, 1)`` in (0, 1)."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return self._scale(x)
        # the gradient of a mean would be written out at the size of x, a sum's is a view
        total = x.sum((2, 3), keepdim=True, dtype=torch.promote_types(x.dtype, torch.float32))
        squeezed = (total / (x.shape[2] * x.shape[3])).to(x.dtype)
        return self.scale_activation(self.fc2(self.activation(self.fc1(squeezed))))


def gated_projection(x: Tensor, gate: Tensor, conv: nn.Conv2d, scale: Tensor | None) -> Tensor:
    """``scale * conv(gate * x)``.

    While training, the factors go into the weights, one matrix for each image, and neither ``gate * x`` nor the
    unscaled result is made or kept; unless these matrices would be larger than the features.

    Args:
        x (Tensor): ``(B, C, H, W)``.
        gate (Tensor): ``(B, C, 1, 1)``.
        conv (nn.Conv2d): A 1x1 convolution with a bias.
        scale (Tensor, optional): LayerScale, ``(out_channels, 1, 1)``.

    Returns:
        Tensor: ``(B, out_channels, H, W)`` in the memory format of ``x``.
    """
    if not conv.training or x.shape[2] * x.shape[3] < conv.out_channels:
        x = conv(x * gate)
        return x if scale is None else scale * x
    weight, bias = conv.weight.flatten(1), conv.bias
    if scale is not None:
        weight, bias = scale.flatten(1) * weight, scale.flatten() * bias
    weight = weight * gate.flatten(1)[:, None]  # (B, out, C)
    if x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous():
        pixels = x.permute(0, 2, 3, 1)
        y = torch.baddbmm(bias, pixels.flatten(1, 2), weight.transpose(1, 2))
        return y.unflatten(1, pixels.shape[1:3]).permute(0, 3, 1, 2)
    return torch.baddbmm(bias[:, None], weight, x.flatten(2)).unflatten(2, x.shape[2:])
