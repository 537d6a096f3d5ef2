"""Forms that modules take for inference alone: less work, fewer passes over memory, operations in place."""

import torch
from torch import Tensor, nn

from .memory_format import in_memory_order
from .tracing import is_traced


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


def refuse_training_of_deployed(module: nn.Module) -> None:
    """
    Raises:
        ValueError: In training mode, gradients being recorded, of a module that has been folded for inference, which
            its attribute ``is_deployed`` says.
    """
    if module.is_deployed and module.training and torch.is_grad_enabled():
        raise ValueError(
            f'{type(module).__name__}: deploy must be False in training, got a model folded for inference (deploy=True '
            'or switch_to_deploy). Build it with deploy=False, load the checkpoint that was trained, train that, and '
            'fold afterwards. To predict with this one, call eval().'
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
        (view,) = in_memory_order(x) if not is_traced() and x.numel() > 1 << 16 else (x,)
        torch.ops.aten.gelu_(view, approximate=self.approximate)
        return x


def inplace(act: nn.Module) -> nn.Module:
    """The activation in place where there is such a form; for use on a tensor that nobody else holds."""
    if type(act) is nn.GELU:
        return InplaceGELU(act.approximate).train(act.training)
    if hasattr(act, 'inplace'):
        act.inplace = True
    return act
