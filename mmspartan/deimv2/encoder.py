"""Encoder of DEIMv2-N (arXiv 2509.20787): D-FINE's, whose fusion adds feature maps.

Authors' code: github.com/Intellindust-AI-Lab/DEIMv2, Apache-2.0. Its CSP blocks have one convolution for both branches;
here it is two, with half of the channels each, as in RT-DETR, which computes the same.
"""

from mmengine.registry import MODELS
from torch import Tensor
from torch.nn.functional import interpolate

from ..dfine.encoder import DFINEEncoder, RepELAN


class TopDownSumELAN(RepELAN):
    """A :class:`~mmspartan.dfine.encoder.RepELAN` over the sum of a coarse feature map, upsampled, and a finer one.

    Shape: ``(B, C, H, W)`` and ``(B, C, H', W')`` to ``(B, out_channels, H', W')``.
    """

    entries = ()  # none reads both maps, so none is folded with the finer map's input convolution

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:  # type: ignore[override] # two feature maps
        return super().forward(interpolate(coarse, size=fine.shape[-2:], mode='nearest') + fine)


@MODELS.register_module()
class DEIMv2Encoder(DFINEEncoder):
    """:class:`~mmspartan.dfine.encoder.DFINEEncoder`, which adds maps where that concatenates them."""

    top_down_type = TopDownSumELAN
    joined = 1

    def join(self, coarse: Tensor, fine: Tensor) -> Tensor:
        return coarse + fine
