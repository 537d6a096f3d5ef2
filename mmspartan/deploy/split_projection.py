"""A 1x1 convolution of an upsampled and a finer feature map without their concatenation, for inference."""

from torch import Tensor, nn
from torch.nn.functional import interpolate

from ..nn.fold import conv_of


class SplitProjection(nn.Module):
    """``act(conv(cat([upsample(coarse), before(fine)])))``.

    The convolution commutes with nearest upsampling, so the coarse part is computed at a quarter of the positions. The
    two convolutions of the finer map are folded into one.

    Args:
        conv (nn.Conv2d): 1x1 convolution of the concatenated maps, with a bias.
        act (nn.Module): Activation after it.
        before (nn.Conv2d): 1x1 convolution of the finer map, with a bias, before the concatenation.

    Shape: ``(B, C, H, W)`` and ``(B, before.in_channels, H', W')`` to ``(B, conv.out_channels, H', W')``.
    """

    def __init__(self, conv: nn.Conv2d, act: nn.Module, before: nn.Conv2d):
        super().__init__()
        coarse, fine = conv.weight.split([conv.in_channels - before.out_channels, before.out_channels], dim=1)
        self.coarse = conv_of(coarse)
        fine = fine.flatten(1)
        self.fine = conv_of((fine @ before.weight.flatten(1))[..., None, None], conv.bias + fine @ before.bias)
        self.act = act
        self.eval()

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        fine = self.fine(fine)
        return self.act(fine.add_(interpolate(self.coarse(coarse), size=fine.shape[-2:], mode='nearest')))
