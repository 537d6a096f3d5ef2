"""DEIMv2 (Huang et al., arXiv 2509.20787) for MMDetection 3.x: its sizes with HGNetV2, which are D-FINE made smaller.

What differs from D-FINE has a file each: the decoder with its feed-forward network, the encoders, and the cost by which
the last epochs match. Its sizes with DINOv3 are not here.
"""

from .detector import DEIMv2
from .encoder import DEIMv2Encoder
from .lite_encoder import LiteEncoder
from .match_cost import ScoreIoUCost

__all__ = ['DEIMv2', 'DEIMv2Encoder', 'LiteEncoder', 'ScoreIoUCost']
