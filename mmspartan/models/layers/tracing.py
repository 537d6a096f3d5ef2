"""Whether operations run, or are written down for a compiler, another runtime or a count."""

import torch

# torch.compiler has it from torch 2.3 on
_is_compiling = getattr(torch.compiler, 'is_compiling', None) or torch._dynamo.is_compiling


def is_traced() -> bool:
    """Inside ``torch.compile``, ``torch.export`` or ``torch.jit.trace``, which want the plain operations."""
    return _is_compiling() or torch.jit.is_tracing()
