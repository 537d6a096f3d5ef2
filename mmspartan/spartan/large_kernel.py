"""A large kernel with a small one beside it in training (RepLKNet, Ding et al., CVPR 2022, arXiv 2203.06717, Sec. 3.2).

An option of :class:`~mmspartan.spartan.smixer.SMixer` for the paper's question whether larger kernels help (Sec. V).
Both kernels have the same dilation, so that folding adds the small one to the middle of the large one.
"""

from mmcv.cnn import build_activation_layer
from torch import Tensor, nn

from ..nn.conv_norm_act import ConvNormAct

SMALL = 3


class LargeKernelConv(nn.Module):
    """``act(norm(large(x)) + norm(small(x)))``.

    Args:
        conv (nn.Conv2d): The large convolution, without bias.
        norm_cfg, act_cfg (dict): Normalization of each convolution, activation of their sum.

    Shape: That of ``conv``.
    """

    def __init__(self, conv: nn.Conv2d, norm_cfg: dict, act_cfg: dict):
        super().__init__()
        settings = {name: getattr(conv, name) for name in ('stride', 'dilation', 'groups')}
        small = nn.Conv2d(conv.in_channels, conv.out_channels, SMALL, padding=conv.dilation[0], bias=False, **settings)
        self.large = ConvNormAct(conv, norm_cfg, None)
        self.small = ConvNormAct(small, norm_cfg, None)
        self.act = build_activation_layer(act_cfg)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.large(x) + self.small(x))
