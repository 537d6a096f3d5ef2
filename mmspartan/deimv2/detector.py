"""DEIMv2 (arXiv 2509.20787) with HGNetV2: D-FINE with another decoder and no layer between encoder and query selection.

Authors' code: github.com/Intellindust-AI-Lab/DEIMv2, Apache-2.0.
"""

from mmengine.registry import MODELS
from torch import nn

from ..checks import refuse
from ..dfine.detector import DFINE
from .decoder import DEIMv2TransformerDecoder
from .lite_encoder import LiteEncoder


@MODELS.register_module()
class DEIMv2(DFINE):
    """:class:`~mmspartan.dfine.detector.DFINE` that selects queries among the encoder's features as they are.

    It takes the same arguments; ``neck`` is a :class:`~mmspartan.deimv2.encoder.DEIMv2Encoder` or a
    :class:`~mmspartan.deimv2.lite_encoder.LiteEncoder`.
    """

    decoder_type = DEIMv2TransformerDecoder

    def init_weights(self) -> None:
        nn.init.xavier_uniform_(self.decoder.query_pos_head.layers[-1].weight)
        super().init_weights()

    def _init_layers(self) -> None:
        super()._init_layers()
        self.memory_trans_fc, self.memory_trans_norm = nn.Identity(), nn.Identity()

    def _check_fit(self) -> None:
        super()._check_fit()
        neck = getattr(self, 'neck', None)
        if not isinstance(neck, LiteEncoder):
            return
        if self.num_levels != neck.num_levels:
            refuse('DEIMv2', 'num_levels', f'{neck.num_levels}, as the neck returns', self.num_levels)
        self._check_channels(neck)
