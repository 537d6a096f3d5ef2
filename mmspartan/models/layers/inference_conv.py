"""Convolutions for inference on CPUs, where PyTorch's own spend as much time on preparations as on computing.

Everywhere else, and whenever a model is traced or compiled, they are the ordinary ones.
"""

from typing import Any

import torch
from mmengine.utils import digit_version
from torch import Tensor, nn
from torch.nn.functional import linear

from .deploy import inplace
from .memory_format import is_channels_last
from .tracing import is_traced

# Names and algorithms of activations in oneDNN's operations.
ACTIVATIONS = {type(None): ('none', ''), nn.GELU: ('gelu', 'none'), nn.SiLU: ('swish', ''), nn.ReLU: ('relu', '')}


def _find_operations() -> tuple[Any, Any] | None:
    names = ('_convolution_pointwise', '_reorder_convolution_weight')
    if digit_version(torch.__version__) < digit_version('2.4') or not torch.backends.mkldnn.is_available():
        return None
    if not all(hasattr(torch.ops.mkldnn, name) for name in names):
        return None
    return tuple(getattr(torch.ops.mkldnn, name).default for name in names)


OPERATIONS = _find_operations()


class PackedConv2d(nn.Conv2d):
    """Convolution and activation, as one operation of oneDNN that finds its weights in the order it reads them in.

    PyTorch turns weights around in each call, which takes longer than a depthwise convolution of small features. These
    are the operations that ``torch.compile`` writes calls of; they take float32 and channels_last, without gradients.

    Args:
        conv (nn.Conv2d): Its weights are taken over, not copied. A change of them is noticed, unless it is made through
            ``weight.data``.
        act (nn.Module, optional): Activation.
    """

    def __init__(self, conv: nn.Conv2d, act: nn.Module | None = None):
        super().__init__(
            conv.in_channels,
            conv.out_channels,
            conv.kernel_size,
            conv.stride,
            conv.padding,
            conv.dilation,
            conv.groups,
            padding_mode=conv.padding_mode,
            device='meta',
        )
        self.weight, self.bias = conv.weight, conv.bias
        self.eval()
        known = type(act) in ACTIVATIONS and getattr(act, 'approximate', 'none') == 'none'
        known = known and conv.padding_mode == 'zeros' and not isinstance(conv.padding, str)
        self.fused_act = ACTIVATIONS[type(act)] if known and OPERATIONS is not None else None
        self.act = nn.Identity() if act is None else inplace(act)
        self._packed: tuple[nn.Parameter, tuple[int, int], Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        if not self._is_for_onednn(x):
            return self.act(super().forward(x))
        convolve, pack = OPERATIONS
        geometry = (self.padding, self.stride, self.dilation, self.groups)
        state = (self.weight.data_ptr(), self.weight._version)
        if self._packed is None or self._packed[0] is not self.weight or self._packed[1] != state:
            self._packed = (self.weight, state, pack(self.weight, *geometry, x.shape))
        act, algorithm = self.fused_act
        return convolve(x, self._packed[2], self.bias, *geometry, act, [], algorithm)

    def _is_for_onednn(self, x: Tensor) -> bool:
        return (
            self.fused_act is not None
            and not is_traced()
            and type(x) is Tensor  # and not one that stands for another
            and x.dtype == self.weight.dtype == torch.float32
            and x.device.type == 'cpu'
            and not torch.is_grad_enabled()
            and is_channels_last(x)
            and not self.weight.is_inference()  # such a tensor does not count its changes
            and not torch.is_autocast_enabled('cpu')
        )

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, '_packed': None}  # copies pack their own weights


class PointwiseConv2d(nn.Conv2d):
    """1x1 convolution as a matrix product."""

    def forward(self, x: Tensor) -> Tensor:
        if is_traced() or x.device.type != 'cpu' or not is_channels_last(x):
            return super().forward(x)
        return linear(x.permute(0, 2, 3, 1), self.weight.flatten(1), self.bias).permute(0, 3, 1, 2)


def as_conv(weight: Tensor, bias: Tensor | None = None) -> nn.Conv2d:
    """A convolution of this kernel that keeps the size; a kernel of one input, if larger than 1x1, is depthwise."""
    channels, inputs, size, _ = weight.shape
    groups = channels if inputs == 1 and size > 1 else 1
    kind = PointwiseConv2d if size == 1 else nn.Conv2d
    conv = kind(inputs * groups, channels, size, padding=size // 2, groups=groups, bias=bias is not None)
    conv.weight = nn.Parameter(weight.clone(), requires_grad=False)
    if bias is not None:
        conv.bias = nn.Parameter(bias.clone(), requires_grad=False)
    return conv.eval() if size == 1 else PackedConv2d(conv)
