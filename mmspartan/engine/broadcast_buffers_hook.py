"""All processes evaluate the weights that the checkpoint holds."""

from typing import Any

from mmengine.dist import broadcast, get_world_size
from mmengine.hooks import Hook
from mmengine.registry import HOOKS


@HOOKS.register_module()
class BroadcastBuffersHook(Hook):
    """Gives each process the buffers of the first one before an evaluation.

    Without SyncBN each process has batch statistics of its own, and those of the first are saved. A run that was
    resumed would evaluate others than an unbroken one.
    """

    priority = 'LOW'  # after the averaged weights were put in

    def before_val_epoch(self, runner: Any) -> None:
        if get_world_size() > 1:
            for buffer in runner.model.buffers():
                broadcast(buffer)
