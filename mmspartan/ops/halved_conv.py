"""The two halves of a convolution's output channels."""

from torch import Tensor, nn
from torch.nn.functional import conv2d

from .device import on_gpu
from .tracing import trains


def halved_conv(x: Tensor, conv: nn.Conv2d) -> tuple[Tensor, Tensor]:
    """``conv(x)`` ``(B, 2 * N, H, W)`` of a 1x1 convolution as two tensors ``(B, N, H, W)``.

    On a CPU the elementwise operations of a training step, forward and backward, are faster on two tensors that are
    contiguous than on two halves of one tensor; this is worth the second convolution.
    """
    if not on_gpu(x) and trains(conv, x):
        weights, biases = conv.weight.chunk(2), conv.bias.chunk(2)
        return conv2d(x, weights[0], biases[0]), conv2d(x, weights[1], biases[1])
    return conv(x).chunk(2, 1)
