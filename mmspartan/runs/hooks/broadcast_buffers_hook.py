"""Evaluation of the same batch statistics in all processes."""

from typing import Any

from mmengine.dist import broadcast, get_world_size
from mmengine.hooks import Hook
from mmengine.registry import HOOKS


@HOOKS.register_module()
class BroadcastBuffersHook(Hook):
    """Broadcasts the buffers of the first process before each evaluation.

    Without SyncBN each process keeps its own batch statistics, but a checkpoint holds only those of the first process.
    Without this hook a resumed run would therefore evaluate other statistics than an uninterrupted one.
    """

    priority = 'LOW'  # after EMAHook has swapped in the averaged weights

    def before_val_epoch(self, runner: Any) -> None:
        if get_world_size() > 1:
            for buffer in runner.model.buffers():
                broadcast(buffer)
