"""Gradient checkpointing (``with_cp``) that counts each batch once in the batch statistics."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from mmengine.utils.dl_utils.parrots_wrapper import _BatchNorm
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .tracing import is_traced


def recompute(block: nn.Module, x: Tensor) -> Tensor:
    """``block(x)``, computed again in the backward pass instead of kept."""
    if is_traced():  # the compiled graph changes each buffer once, recomputed or not
        return checkpoint(block, x, use_reentrant=False)
    return checkpoint(block, x, use_reentrant=False, context_fn=lambda: (nullcontext(), frozen_statistics(block)))


@contextmanager
def frozen_statistics(module: nn.Module) -> Iterator[None]:
    """Within this context BatchNorm layers leave their running statistics as they are.

    Without it a recomputed block would count each batch twice.
    """
    # momentum 0 rather than track_running_stats=False, which changes the tensors that autograd saves
    norms = [m for m in module.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    before = [(norm.momentum, norm.num_batches_tracked.clone()) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, (momentum, num_batches_tracked) in zip(norms, before):
            norm.momentum = momentum
            norm.num_batches_tracked.copy_(num_batches_tracked)
