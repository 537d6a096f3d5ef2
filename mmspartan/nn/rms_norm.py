"""RMSNorm (Zhang and Sennrich, NeurIPS 2019, arXiv 1910.07467). PyTorch has it from version 2.4 on."""

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
class RMSNorm(nn.Module):
    """Divides features by the root of their mean square, and scales each channel.

    The mean is computed in at least float32, whatever the precision of the network.

    Args:
        channels (int): Number of channels, the last dimension.
        eps (float): Added to the mean square. Defaults to 1e-6.

    Shape: ``(..., channels)`` to the same.
    """

    def __init__(self, channels: int, eps: float = 1e-6):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        return (wide * (wide.square().mean(-1, keepdim=True) + self.eps).rsqrt()).to(x.dtype) * self.weight
