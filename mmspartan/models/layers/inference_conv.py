"""Convolutions for inference on CPUs, where PyTorch's own spend as much time on preparations as on computing.

Everywhere else, and whenever a model is traced or compiled, they are the ordinary ones.
"""

from typing import Any

import torch
from mmengine.utils import digit_version
from torch import Tensor, nn
from torch.nn.functional import linear

from .deploy import InplaceGELU, inplace
from .lean import exact
from .memory_format import is_channels_last
from .tracing import is_traced

# Names and algorithms of activations in oneDNN's operations.
NO_ACT = ('none', '')
ACTIVATIONS = {
    type(None): NO_ACT,
    nn.GELU: ('gelu', 'none'),
    InplaceGELU: ('gelu', 'none'),
    nn.SiLU: ('swish', ''),
    nn.ReLU: ('relu', ''),
}


onednn = torch.ops.mkldnn


def _has_operations() -> bool:
    names = ('convolution_pointwise', 'convolution_pointwise_', 'linear_pointwise')
    names += ('reorder_convolution_weight', 'reorder_linear_weight')
    return (
        digit_version(torch.__version__) >= digit_version('2.4')
        and torch.backends.mkldnn.is_available()
        and all(hasattr(onednn, f'_{name}') for name in names)
    )


HAS_OPERATIONS = _has_operations()


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
        self.geometry = (self.padding, self.stride, self.dilation, self.groups)
        self.eval()
        plain = conv.padding_mode == 'zeros' and not isinstance(conv.padding, str)
        self.fused_act = exact(act, ACTIVATIONS) if plain and HAS_OPERATIONS else None
        self.act = nn.Identity() if act is None else inplace(act)
        self._packed: tuple[nn.Parameter, tuple[int, int], Tensor] | None = None

    def forward(self, x: Tensor, plus: Tensor | None = None) -> Tensor:
        """``act(conv(x) + plus)``; ``plus`` is overwritten."""
        weight = self._packed_for(x)
        if weight is None:
            y = super().forward(x)
            return self.act(y if plus is None else y.add_(plus))
        bias = self._parameters['bias']
        if plus is None:
            act, algorithm = self.fused_act
            return onednn._convolution_pointwise(x, weight, bias, *self.geometry, act, [], algorithm)
        convolve = onednn._convolution_pointwise_.binary
        return self.act(convolve(plus, x, weight, bias, *self.geometry, 'add', 1.0, None, [], None))

    def _packed_for(self, x: Tensor) -> Tensor | None:
        """The weight in oneDNN's order; None where its operations are not for ``x``."""
        weight = self._parameters['weight']  # attributes of modules cost ten times as much, in each of a hundred calls
        if (
            self.fused_act is None
            or is_traced()
            or type(x) is not Tensor  # but something that stands for one
            or not x.is_cpu
            or x.dtype is not torch.float32
            or weight.dtype is not torch.float32
            or weight.is_inference()  # such a tensor does not count its changes
            or torch.is_grad_enabled()
            or torch.is_autocast_enabled('cpu')
            or not is_channels_last(x)
        ):
            return None
        state = (weight.data_ptr(), weight._version)
        if self._packed is None or self._packed[0] is not weight or self._packed[1] != state:
            self._packed = (weight, state, self._pack(weight, x))
        return self._packed[2]

    def _pack(self, weight: Tensor, x: Tensor) -> Tensor:
        return onednn._reorder_convolution_weight(weight, *self.geometry, x.shape)

    def _apply(self, *args, **kwargs) -> nn.Module:
        self._packed = None  # what replaces the data of a weight is not seen at the weight
        return super()._apply(*args, **kwargs)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, '_packed': None}  # copies pack their own weights


class PointwiseConv2d(PackedConv2d):
    """1x1 convolution and activation, as a matrix product: of large features oneDNN's, of small ones PyTorch's."""

    def forward(self, x: Tensor, times: Tensor | None = None) -> Tensor:
        """``act(conv(x)) * times``."""
        weight, bias = self._parameters['weight'], self._parameters['bias']
        if not x.is_cpu or is_traced() or not is_channels_last(x):
            return self._finish(self._conv_forward(x, weight, bias), times)
        pixels = x.permute(0, 2, 3, 1)
        is_small = x.numel() < 1 << 16
        packed = None if is_small or (times is not None and self.fused_act != NO_ACT) else self._packed_for(x)
        if packed is None:
            return self._finish(linear(pixels, weight.flatten(1), bias).permute(0, 3, 1, 2), times)
        if times is None:
            act, algorithm = self.fused_act
            y = onednn._linear_pointwise(pixels, packed, bias, act, [], algorithm)
        else:
            y = onednn._linear_pointwise.binary(pixels, times.permute(0, 2, 3, 1), packed, bias, 'mul')
        return y.permute(0, 3, 1, 2)

    def _finish(self, y: Tensor, times: Tensor | None) -> Tensor:
        if self.fused_act != NO_ACT:
            y = self.act(y)
        return y if times is None else y.mul_(times)

    def _pack(self, weight: Tensor, x: Tensor) -> Tensor:
        return onednn._reorder_linear_weight(weight.flatten(1), x.numel() // x.shape[1])


def as_conv(weight: Tensor, bias: Tensor | None = None, act: nn.Module | None = None) -> PackedConv2d:
    """A convolution of this kernel that keeps the size; a kernel of one input, if larger than 1x1, is depthwise."""
    channels, inputs, size, _ = weight.shape
    groups = channels if inputs == 1 and size > 1 else 1
    conv = nn.Conv2d(inputs * groups, channels, size, padding=size // 2, groups=groups, bias=bias is not None)
    conv.weight = nn.Parameter(weight.clone(), requires_grad=False)
    if bias is not None:
        conv.bias = nn.Parameter(bias.clone(), requires_grad=False)
    return PointwiseConv2d(conv, act) if size == 1 else PackedConv2d(conv, act)
