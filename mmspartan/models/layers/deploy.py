"""Forms that modules take for inference alone: less work, fewer passes over memory, operations in place."""

import torch
from torch import Tensor, nn


def refuse_training(module: nn.Module) -> None:
    """
    Raises:
        RuntimeError: In training mode, where outputs depend on the batch and weights have yet to change.
    """
    if module.training:
        raise RuntimeError(
            f'{type(module).__name__}.switch_to_deploy: call eval() first. The way back is to build the model anew and '
            'load the checkpoint that was trained.'
        )


class InplaceGELU(nn.GELU):
    """GELU that overwrites its input, for which ``nn.GELU`` has no option."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.ops.aten.gelu_(x, approximate=self.approximate)


def inplace(act: nn.Module) -> nn.Module:
    """The activation in place where there is such a form; for use on a tensor that nobody else holds."""
    if type(act) is nn.GELU:
        return InplaceGELU(act.approximate).train(act.training)
    if hasattr(act, 'inplace'):
        act.inplace = True
    return act


class SwappedDepthwise(nn.Module):
    """A convolution over pairs of channels as two depthwise ones, which are the faster by far on CPUs.

    Its channels are the first of each pair, then the second of each: ``halves`` reorders to that.

    Args:
        conv (nn.Conv2d): Two channels a group, in and out.

    Shape: ``(B, channels, H, W)`` to the same.
    """

    def __init__(self, conv: nn.Conv2d):
        super().__init__()
        channels = conv.out_channels
        order = self.halves(channels, conv.weight.device)
        own = order % 2  # which of a pair it is
        options = dict(padding=conv.padding, groups=channels, device=conv.weight.device, dtype=conv.weight.dtype)
        self.own = nn.Conv2d(channels, channels, conv.kernel_size, bias=conv.bias is not None, **options)
        self.partner = nn.Conv2d(channels, channels, conv.kernel_size, bias=False, **options)
        self.own.weight.copy_(conv.weight[order, own][:, None])
        self.partner.weight.copy_(conv.weight[order, 1 - own][:, None])
        if conv.bias is not None:
            self.own.bias.copy_(conv.bias[order])

    @staticmethod
    def halves(channels: int, device: torch.device) -> Tensor:
        """Old indices of the channels in their new order."""
        return torch.arange(channels, device=device).view(-1, 2).t().flatten()

    def forward(self, x: Tensor) -> Tensor:
        first, second = x.chunk(2, 1)
        return self.own(x).add_(self.partner(torch.cat([second, first], 1)))
