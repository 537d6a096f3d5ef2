"""When operations are traced, and when autograd records them."""

import torch
from torch import Tensor, nn

# torch.compiler has it from torch 2.3 on
_is_compiling = getattr(torch.compiler, 'is_compiling', None) or torch._dynamo.is_compiling


def is_traced() -> bool:
    """Inside ``torch.compile``, ``torch.export`` or ``torch.jit.trace``, which optimize the plain operations."""
    return _is_compiling() or torch.jit.is_tracing()


def is_exported() -> bool:
    """Inside an export to ONNX, whose operations should be those that runtimes compute fast."""
    return torch.onnx.is_in_onnx_export()


def trains(module: nn.Module, x: Tensor) -> bool:
    """Whether a module is in training mode and autograd records its operations.

    Only then may an operation use the weights of a module without calling it: hooks of the module do not run.
    """
    return module.training and is_recorded(x)


def is_recorded(x: Tensor) -> bool:
    """Whether autograd keeps what the backward pass of an operation on ``x`` needs.

    The forms of this package that save memory run where this is true. A compiler decides itself what to keep, so it is
    false in traced code.
    """
    return not is_traced() and torch.is_grad_enabled() and x.requires_grad
