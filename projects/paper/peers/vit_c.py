"""ViT-C, 1 GF (Xiao et al., NeurIPS 2021, arXiv 2106.14881) as a peer of Table II.

A vision transformer whose patch embedding is a stack of convolutions instead of one of 16x16 pixels, and which has one
block less than the plain network of the same cost.
"""

from itertools import pairwise

from mmengine.registry import MODELS
from mmpretrain.models.backbones import VisionTransformer
from torch import Tensor, nn

CHANNELS = (3, 24, 48, 96, 192)  # of the stem, each convolution halving the sides


class ConvStem(nn.Sequential):
    """3x3 convolutions with stride 2, BatchNorm and ReLU, then a 1x1 convolution to the width of the transformer.

    Shape: ``(B, 3, H, W)`` to tokens ``(B, H / 16 * W / 16, embed_dims)``, and their grid ``(H / 16, W / 16)``.
    """

    def __init__(self, embed_dims: int, init_out_size: tuple[int, int]):
        super().__init__()
        self.init_out_size = init_out_size
        for c_in, c_out in pairwise(CHANNELS):
            self.append(nn.Conv2d(c_in, c_out, 3, stride=2, padding=1, bias=False))
            self.append(nn.BatchNorm2d(c_out))
            self.append(nn.ReLU(inplace=True))
        self.append(nn.Conv2d(CHANNELS[-1], embed_dims, 1))

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[int, int]]:
        x = super().forward(x)
        return x.flatten(2).transpose(1, 2), (x.shape[2], x.shape[3])


@MODELS.register_module()
class ViTC(VisionTransformer):
    """mmpretrain's ``VisionTransformer`` with a convolutional stem; it takes its arguments."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.patch_embed = ConvStem(self.embed_dims, self.patch_resolution)
