"""Activations that are computed again in the backward pass instead of kept."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from .tracing import is_recorded

aten = torch.ops.aten


class InPlace(NamedTuple):
    """An activation as two operators that write into a given tensor.

    Attributes:
        forward: ``forward(x, out=y)``.
        backward: ``backward(grad, x, grad_input=y)``, the derivative at ``x`` times ``grad``.
    """

    forward: torch._ops.OpOverload
    backward: torch._ops.OpOverload


OPERATORS = {
    nn.GELU: InPlace(aten.gelu.out, aten.gelu_backward.grad_input),
    nn.SiLU: InPlace(aten.silu.out, aten.silu_backward.grad_input),
}


def in_place_operators(act: nn.Module, x: Tensor) -> InPlace | None:
    """The operators of an activation; None if autograd does not record ``x``, and for approximations of GELU."""
    if not is_recorded(x):  # before the look-up by class, which torch 2.1 does not compile
        return None
    return OPERATORS.get(type(act)) if getattr(act, 'approximate', 'none') == 'none' else None
