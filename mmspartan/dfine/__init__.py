"""D-FINE (Peng et al., ICLR 2025, arXiv 2410.13842) for MMDetection 3.x: RT-DETR with distributions of edges.

What differs from RT-DETR has a file each: the encoder's blocks, the distributions, the decoder, head and losses, and
the backbone.
"""

from .detector import DFINE
from .encoder import DFINEEncoder
from .head import DFINEHead
from .hgnet import HGNetV2

__all__ = ['DFINE', 'DFINEEncoder', 'DFINEHead', 'HGNetV2']
