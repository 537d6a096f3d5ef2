"""PVT (Wang et al., ICCV 2021, arXiv 2102.12122) as a peer of Table II: mmdet's detection backbone for a classifier.

The published classifier reads a class token of the last stage. This one takes the mean over positions, since mmdet's
backbone has no such token; that leaves out 1,024 of 13.2 million parameters.
"""

from mmdet.models.backbones import PyramidVisionTransformer
from mmengine.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
class PVTForClassification(PyramidVisionTransformer):
    """mmdet's ``PyramidVisionTransformer`` with the last LayerNorm of the classifier; it takes its arguments.

    Shape: ``(B, 3, H, W)`` to a tuple of one ``(B, C, H / 32, W / 32)``.
    """

    def __init__(self, **kwargs):
        super().__init__(out_indices=(3,), **kwargs)
        self.norm = nn.LayerNorm(self.embed_dims * self.num_heads[-1], eps=1e-6)

    def forward(self, x: Tensor) -> tuple[Tensor]:
        (x,) = super().forward(x)
        return (self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2),)
