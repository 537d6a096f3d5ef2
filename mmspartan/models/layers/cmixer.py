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
from torch.nn.functional import conv2d
from torchvision.ops import SqueezeExcitation

from .checks import check_flags, check_integers, check_multiples
from .conv import ConvNormAct, ModulatedConv2d
from .deployed_cmixer import DeployedCMixer
from .gated_projection import ChannelGate, gated_projection
from .lean import superpose
from .memory_format import strongest_channel


@MODELS.register_module()
class CMixer(BaseModule):
    """Wave-based channel aggregation followed by feature refinement.

    Args:
        channels (int): Channels C in and out; a multiple of 4.
        expand_ratio (int): N / C of the hidden waves.
        depthwise (bool): The stage's kind of convolution (Table VIII): groups = C where true, else groups = N.
        norm_cfg, act_cfg (dict): Normalization after the 3x3 convolution; activation of the phase and after it.

    Shape: ``(B, C, H, W)``, and LayerScale ``(C, 1, 1)`` if it is not yet part of ``proj_out``, to ``(B, C, H, W)``.

    Raises:
        ValueError: If ``channels`` is no multiple of 4, or ``expand_ratio`` no positive integer.
    """

    def __init__(self, channels: int, expand_ratio: int, depthwise: bool, norm_cfg: dict, act_cfg: dict):
        super().__init__()
        check_multiples('CMixer', 4, channels=channels)
        check_integers('CMixer', expand_ratio=expand_ratio)
        check_flags('CMixer', depthwise=depthwise)
        hidden = channels * expand_ratio
        self.depthwise = depthwise
        # amplitude and phase read the same input: one convolution instead of two
        self.wave = nn.Conv2d(channels, 2 * hidden, 1)
        self.phase_act = build_activation_layer(act_cfg)
        self.conv = ConvNormAct(ModulatedConv2d(hidden, 3, channels if depthwise else hidden), norm_cfg, act_cfg)
        self.se = ChannelGate(hidden, channels // 4)
        self.proj_out = nn.Conv2d(hidden, channels, 1)

    def init_weights(self) -> None:
        """Fan-out as of two convolutions with N outputs each, which ``wave`` stands for."""
        nn.init.normal_(self.wave.weight, 0, math.sqrt(2 / (self.wave.out_channels // 2)))
        nn.init.normal_(self.conv.conv.complex_weight)

    def forward(self, x: Tensor, scale: Tensor | None = None) -> Tensor:
        amplitude, phase = self._waves(x)
        # the sinusoid approximated by the activation, Eq. 8, and superposition with F_max
        wave = superpose(amplitude, phase, strongest_channel(x), self.phase_act)
        wave = self.conv(wave)  # modulation, Eq. 9
        return gated_projection(wave, self.se(wave), self.proj_out, scale)  # refinement, Eq. 10

    def _waves(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if x.device.type == 'cpu' and self.training:  # what comes next is faster on tensors that lie apart
            weights, biases = self.wave.weight.chunk(2), self.wave.bias.chunk(2)
            return conv2d(x, weights[0], biases[0]), conv2d(x, weights[1], biases[1])
        return self.wave(x).chunk(2, 1)

    def deployed(self) -> nn.Module:
        """What replaces this module for inference: itself, folded, where it is not made of pairs of channels."""
        self.conv.switch_to_deploy()
        is_of_pairs = self.conv.conv.groups == self.conv.conv.in_channels // 2 and not hasattr(self.conv, 'norm')
        return DeployedCMixer(self) if is_of_pairs else self


@MODELS.register_module()
class MLPCMixer(nn.Sequential):
    """The baselines of Table IV: a pointwise MLP in place of the CMixer, with a squeeze-and-excitation if ``se``.

    Takes the arguments of :class:`CMixer` and ``se`` (bool); ``depthwise`` and ``norm_cfg`` do not apply to it.
    """

    def __init__(
        self, channels: int, expand_ratio: int, depthwise: bool, norm_cfg: dict, act_cfg: dict, se: bool = False
    ):
        check_multiples('MLPCMixer', 4, channels=channels)
        check_integers('MLPCMixer', expand_ratio=expand_ratio)
        check_flags('MLPCMixer', se=se)
        hidden = channels * expand_ratio
        super().__init__(nn.Conv2d(channels, hidden, 1), build_activation_layer(act_cfg))
        if se:
            self.append(SqueezeExcitation(hidden, channels // 4))
        self.append(nn.Conv2d(hidden, channels, 1))

    def forward(self, x: Tensor, scale: Tensor | None = None) -> Tensor:
        x = super().forward(x)
        return x if scale is None else scale * x
