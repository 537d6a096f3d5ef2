"""D-FINE (arXiv 2410.13842): RT-DETR with another decoder. Authors' code: github.com/Peterande/D-FINE, Apache-2.0."""

from typing import Any

from mmengine.registry import MODELS
from torch import nn

from ..rtdetr.detector import RTDETR
from .decoder import DFINETransformerDecoder


@MODELS.register_module()
class DFINE(RTDETR):
    """:class:`~mmspartan.rtdetr.detector.RTDETR` whose decoder refines distributions of the boxes' edges.

    It takes the same arguments, ``xavier_init`` being True by default; ``bbox_head`` is a
    :class:`~mmspartan.dfine.head.DFINEHead`. Feature maps with the channels of the decoder have no convolution before
    it.
    """

    decoder_type = DFINETransformerDecoder

    def __init__(self, *args: Any, xavier_init: bool = True, **kwargs: Any):
        super().__init__(*args, xavier_init=xavier_init, **kwargs)

    def _init_layers(self) -> None:
        super()._init_layers()
        if self.in_channels in (None, self.embed_dims):
            self.input_convs = nn.ModuleList(nn.Identity() for _ in self.input_convs)
