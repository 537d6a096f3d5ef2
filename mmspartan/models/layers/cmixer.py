"""Channel mixers: the wave-based CMixer (paper Sec. III-C, Eq. 7-10) and the MLPs it is compared with (Table IV).

Departs from the paper's text where the authors' implementation does: every channel is superposed with the wave of the
channel that is the largest *input* at its pixel, and the convolution that follows is depthwise (groups = N) where the
SMixer's are full, and has ``expand_ratio`` channels a group (groups = C) where the SMixer's are depthwise.
"""

import math

from mmcv.cnn import build_activation_layer
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor, nn
from torchvision.ops import SqueezeExcitation

from .conv import ConvNormAct, ModulatedConv2d


@MODELS.register_module()
class CMixer(BaseModule):
    """Wave-based channel aggregation followed by feature refinement.

    Args:
        channels (int): Channels C in and out.
        expand_ratio (int): N / C of the hidden waves.
        depthwise (bool): The stage's kind of convolution (Table VIII): groups = C where true, else groups = N.
        norm_cfg, act_cfg (dict): Normalization after the 3x3 convolution; activation of the phase and after it.

    Shape: ``(B, C, H, W)`` to the same.
    """

    def __init__(self, channels: int, expand_ratio: int, depthwise: bool, norm_cfg: dict, act_cfg: dict):
        super().__init__()
        hidden = channels * expand_ratio
        # amplitude and phase read the same input: one convolution instead of two
        self.wave = nn.Conv2d(channels, 2 * hidden, 1)
        self.phase_act = build_activation_layer(act_cfg)
        self.conv = ConvNormAct(ModulatedConv2d(hidden, 3, channels if depthwise else hidden), norm_cfg, act_cfg)
        self.se = SqueezeExcitation(hidden, channels // 4)
        self.proj_out = nn.Conv2d(hidden, channels, 1)

    def init_weights(self) -> None:
        """Fan-out as of two convolutions with N outputs each, which ``wave`` stands for."""
        nn.init.normal_(self.wave.weight, 0, math.sqrt(2 / (self.wave.out_channels // 2)))
        nn.init.normal_(self.conv.conv.complex_weight)

    def forward(self, x: Tensor) -> Tensor:
        strongest = x.argmax(1, keepdim=True)
        amplitude, phase = self.wave(x).chunk(2, 1)
        wave = amplitude * self.phase_act(phase)  # Eq. 8, the sinusoid approximated by the activation
        wave = wave + wave.gather(1, strongest)  # superposition with F_max
        return self.proj_out(self.se(self.conv(wave)))  # modulation, Eq. 9, and refinement, Eq. 10


@MODELS.register_module()
class MLPCMixer(nn.Sequential):
    """The baselines of Table IV: a pointwise MLP in place of the CMixer, with a squeeze-and-excitation if ``se``.

    Takes the arguments of :class:`CMixer` and ``se`` (bool); ``depthwise`` and ``norm_cfg`` do not apply to it.
    """

    def __init__(
        self, channels: int, expand_ratio: int, depthwise: bool, norm_cfg: dict, act_cfg: dict, se: bool = False
    ):
        hidden = channels * expand_ratio
        super().__init__(nn.Conv2d(channels, hidden, 1), build_activation_layer(act_cfg))
        if se:
            self.append(SqueezeExcitation(hidden, channels // 4))
        self.append(nn.Conv2d(hidden, channels, 1))
