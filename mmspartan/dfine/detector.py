"""D-FINE (arXiv 2410.13842): RT-DETR with another decoder. Authors' code: github.com/Peterande/D-FINE, Apache-2.0."""

from mmengine.registry import MODELS
from torch import nn

from ..rtdetr.detector import RTDETR
from .decoder import DFINETransformerDecoder


@MODELS.register_module()
class DFINE(RTDETR):
    """:class:`~mmspartan.rtdetr.detector.RTDETR` whose decoder refines distributions of the boxes' edges.

    It takes the same arguments; ``bbox_head`` is a :class:`~mmspartan.dfine.head.DFINEHead`. Feature maps with the
    channels of the decoder have no convolution before it.
    """

    decoder_type = DFINETransformerDecoder

    def init_weights(self) -> None:
        super().init_weights()
        modules = [module for layer in self.decoder.layers for module in layer.ffn.modules()]
        for module in (*modules, *(getattr(conv, 'conv', None) for conv in self.input_convs)):
            if isinstance(module, nn.Linear | nn.Conv2d):
                nn.init.xavier_uniform_(module.weight)

    def _init_layers(self) -> None:
        super()._init_layers()
        if self.in_channels in (None, self.embed_dims):
            self.input_convs = nn.ModuleList(nn.Identity() for _ in self.input_convs)
