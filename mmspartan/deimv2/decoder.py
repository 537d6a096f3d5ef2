"""Decoder of DEIMv2 (arXiv 2509.20787): D-FINE's with RMSNorm, SwiGLU and the positions of queries shared.

Authors' code: github.com/Intellindust-AI-Lab/DEIMv2, Apache-2.0. As in D-FINE here, there are no wider layers.
"""

from typing import Any

from torch import Tensor, nn

from ..checks import check_flags
from ..dfine.decoder import DFINETransformerDecoder, DFINETransformerDecoderLayer
from .swiglu import SwiGLU


class Sum(nn.Module):
    """The residual connection in place of a gate."""

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        return x1 + x2


class DEIMv2TransformerDecoderLayer(DFINETransformerDecoderLayer):
    """D-FINE's layer with other normalization and another feed-forward network.

    Args:
        gated (bool): Whether a gate joins the deformable attention, as in D-FINE; otherwise it is added, as in the
            sizes Atto, Femto and Pico. Defaults to True.
        norm_cfg (dict): Normalization. Defaults to RMSNorm.

    Raises:
        ValueError: If an argument is out of its range.
    """

    ffn_type = SwiGLU

    def __init__(
        self, *args: Any, gated: bool = True, norm_cfg: dict = dict(type='RMSNorm', eps=1e-6), **kwargs: Any
    ) -> None:
        check_flags('RTDETRTransformerDecoder', **{'layer_cfg.gated': gated})
        self.gated = gated
        super().__init__(*args, norm_cfg=norm_cfg, **kwargs)

    def _init_layers(self) -> None:
        super()._init_layers()
        if not self.gated:
            self.gate = Sum()


class DEIMv2TransformerDecoder(DFINETransformerDecoder):
    """D-FINE's decoder, in which the boxes of the selected queries are the positions in all layers."""

    layer_type = DEIMv2TransformerDecoderLayer

    def positions(self, boxes: Tensor, before: Tensor | None) -> Tensor:
        return super().positions(boxes, before) if before is None else before
