"""A 1x1 convolution of an upsampled and a finer feature map, for inference, without their concatenation."""

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from .inference_conv import PackedConv2d, as_conv


class SplitProjection(nn.Module):
    """``act(conv(cat([upsample(coarse), before(fine)])))``.

    The convolution and nearest upsampling may change places, so the coarse part is computed on a quarter of the
    positions; and two linear maps in a row are one.

    Args:
        conv (PackedConv2d): The 1x1 convolution, with its activation.
        before (nn.Conv2d): 1x1 convolution, with a bias, of the finer map, to as many channels as the
            convolution takes of it.

    Shape: ``(B, C, H, W)`` and ``(B, before.in_channels, H', W')`` to ``(B, conv.out_channels, H', W')``.
    """

    @torch.no_grad()
    def __init__(self, conv: PackedConv2d, before: nn.Conv2d):
        super().__init__()
        coarse, fine = conv.weight.split([conv.in_channels - before.out_channels, before.out_channels], dim=1)
        self.coarse = as_conv(coarse)
        fine = fine.flatten(1)
        self.fine = as_conv((fine @ before.weight.flatten(1))[..., None, None], conv.bias + fine @ before.bias)
        self.act = conv.act

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        fine = self.fine(fine)
        return self.act(fine.add_(interpolate(self.coarse(coarse), size=fine.shape[-2:], mode='nearest')))
