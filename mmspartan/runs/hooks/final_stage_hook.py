"""The last epochs of a training without strong augmentation, as RT-DETRv2 and D-FINE train."""

from typing import Any

from mmdet.engine.hooks import PipelineSwitchHook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS


@HOOKS.register_module()
class FinalStageHook(PipelineSwitchHook):
    """Trains the last epochs with another pipeline and without the batch augmentation of the data preprocessor.

    A function of the epoch alone: a resumed training continues as the interrupted one would have.

    Args:
        final_epochs (int): Number of the last epochs.
        pipeline (list[dict]): The training pipeline of these epochs.
    """

    def __init__(self, final_epochs: int, pipeline: list[dict]):
        super().__init__(switch_epoch=0, switch_pipeline=pipeline)
        self.final_epochs = final_epochs

    def before_train_epoch(self, runner: Any) -> None:
        self.switch_epoch = runner.max_epochs - self.final_epochs
        super().before_train_epoch(runner)
        if self._has_switched:
            model = runner.model.module if is_model_wrapper(runner.model) else runner.model
            model.data_preprocessor.batch_augments = None
