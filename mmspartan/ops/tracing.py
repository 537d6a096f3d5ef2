"""When operations are traced, and when autograd records them."""

import torch
from torch import Tensor

# torch.compiler has it from torch 2.3 on
_is_compiling = getattr(torch.compiler, 'is_compiling', None) or torch._dynamo.is_compiling


def is_traced() -> bool:
    """Inside ``torch.compile``, ``torch.export`` or ``torch.jit.trace``, which optimize the plain operations."""
    return _is_compiling() or torch.jit.is_tracing()


def is_recorded(x: Tensor) -> bool:
    """Whether autograd keeps what the backward pass of an operation on ``x`` needs.

    The forms of this package that save memory run where this is true. A compiler decides itself what to keep, so it is
    false in traced code.
    """
    return not is_traced() and torch.is_grad_enabled() and x.requires_grad
