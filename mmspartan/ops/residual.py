"""The residual connection of a block.

The plain form scales the output of the mixer. On a CPU a mixer may take LayerScale into the weights of its last
convolution (``takes_scale``, see :mod:`mmspartan.spartan.mixer`), which keeps one feature map less. On a GPU one
operation scales and adds.
"""

from torch import Tensor, nn

from .device import on_gpu


def add_mixed(residual: Tensor, mixer: nn.Module, x: Tensor, scale: Tensor | None) -> Tensor:
    """``residual + scale * mixer(x)``.

    Args:
        residual, x (Tensor): ``(B, C, H, W)``.
        scale (Tensor, optional): ``(C, 1, 1)``, or of each image ``(B, C, 1, 1)``. None where it is folded.
    """
    if scale is None:
        return residual + mixer(x)
    if on_gpu(x):
        return residual.addcmul(scale, mixer(x))
    return residual + (mixer(x, scale) if getattr(mixer, 'takes_scale', False) else scale * mixer(x))
