"""Forms that modules take for inference alone: less work, fewer passes over memory, operations in place."""

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from .memory_format import in_memory_order, is_channels_last


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


def fold_submodules(module: nn.Module) -> None:
    """Call ``switch_to_deploy`` of all modules within this one that have it."""
    for child in [child for child in module.modules() if child is not module]:
        if hasattr(child, 'switch_to_deploy'):
            child.switch_to_deploy()


def fold_affine(norm: nn.GroupNorm, conv: nn.Conv2d) -> None:
    """Move weight and bias of a normalization into the 1x1 convolution, with a bias, that follows it."""
    conv.bias.add_(conv.weight.flatten(1) @ norm.bias)
    conv.weight.mul_(norm.weight[:, None, None])
    norm.weight = norm.bias = None


class InplaceGELU(nn.GELU):
    """GELU that overwrites its input, for which ``nn.GELU`` has no option."""

    def forward(self, x: Tensor) -> Tensor:
        # oneDNN's is the faster one for tensors that are worth its overhead
        (view,) = in_memory_order(x) if x.numel() > 1 << 16 else (x,)
        torch.ops.aten.gelu_(view, approximate=self.approximate)
        return x


def inplace(act: nn.Module) -> nn.Module:
    """The activation in place where there is such a form; for use on a tensor that nobody else holds."""
    if type(act) is nn.GELU:
        return InplaceGELU(act.approximate).train(act.training)
    if hasattr(act, 'inplace'):
        act.inplace = True
    return act


class PointwiseConv2d(nn.Conv2d):
    """1x1 convolution, as a matrix product where PyTorch's overhead would be a good part of a convolution's time."""

    def forward(self, x: Tensor) -> Tensor:
        if torch.compiler.is_compiling() or x.device.type != 'cpu' or not is_channels_last(x):
            return super().forward(x)
        return linear(x.permute(0, 2, 3, 1), self.weight.flatten(1), self.bias).permute(0, 3, 1, 2)


def as_conv(weight: Tensor, bias: Tensor | None = None) -> nn.Conv2d:
    """A convolution of this kernel that keeps the size; a kernel of one input, if larger than 1x1, is depthwise."""
    channels, inputs, size, _ = weight.shape
    if size == 1:
        conv = PointwiseConv2d(inputs, channels, 1, bias=bias is not None)
    else:
        groups = channels if inputs == 1 else 1
        conv = nn.Conv2d(inputs * groups, channels, size, padding=size // 2, groups=groups, bias=bias is not None)
    conv.weight = nn.Parameter(weight.clone(), requires_grad=False)
    if bias is not None:
        conv.bias = nn.Parameter(bias.clone(), requires_grad=False)
    return conv.eval()
