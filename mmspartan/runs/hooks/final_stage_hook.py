"""The last epochs of a training without strong augmentation, as RT-DETRv2 and D-FINE train."""

from typing import Any

from mmengine.registry import HOOKS

from ...checks import check_flags, check_integers
from .stage_hook import StageHook


@HOOKS.register_module()
class FinalStageHook(StageHook):
    """Trains the last epochs with another pipeline and without the batch augmentation of the data preprocessor.

    A resumed training continues as the interrupted one would have.

    Args:
        final_epochs (int): Number of the last epochs.
        pipeline (list[dict]): The training pipeline of these epochs.
        from_best (bool): Whether they begin with the weights of the best checkpoint so far. Defaults to False.
    """

    def __init__(self, final_epochs: int, pipeline: list[dict], from_best: bool = False):
        check_integers('FinalStageHook', 0, final_epochs=final_epochs)
        check_flags('FinalStageHook', from_best=from_best)
        super().__init__(switch_epochs=[0], stages=[dict(pipeline=pipeline, multi_scale=False, from_best=from_best)])
        self.final_epochs = final_epochs

    def begins(self, max_epochs: int) -> list[int]:
        return [max(0, max_epochs - self.final_epochs)] if self.final_epochs else []

    def before_train_epoch(self, runner: Any) -> None:
        self.switch_epochs = [runner.max_epochs - self.final_epochs]
        super().before_train_epoch(runner)
