"""A bound on the memory of the training log."""

from typing import Any

from mmengine.hooks import Hook
from mmengine.logging import HistoryBuffer
from mmengine.registry import HOOKS


@HOOKS.register_module()
class LogHistoryHook(Hook):
    """Bounds the number of values that mmengine's ``MessageHub`` keeps for each logged quantity.

    mmengine keeps a million values, copies all of them whenever it adds one, and writes them into each checkpoint:
    about 300 bytes an iteration for a detector. The log reads only the values within its windows.

    Args:
        length (int): Least number of values to keep; a longer window of the log processor raises it. Defaults to 1000.

    Raises:
        ValueError: If ``length`` is less than 1.
    """

    priority = 'VERY_LOW'

    def __init__(self, length: int = 1000):
        if length < 1:
            raise ValueError(f'LogHistoryHook: length must be at least 1, got {length!r}')
        self.length = length

    def before_train(self, runner: Any) -> None:
        processor = runner.log_processor
        windows = [processor.window_size, *(item.get('window_size') for item in processor.custom_cfg)]
        longest = max([self.length, *(window for window in windows if isinstance(window, int))])
        if 'epoch' in windows:
            longest = max(longest, len(runner.train_dataloader))
        self.bound = None if 'global' in windows else longest

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        if self.bound is None:
            return
        scalars = runner.message_hub.log_scalars
        for key, buffer in list(scalars.items()):
            if buffer.max_length > self.bound:
                values, counts = (array[-self.bound :] for array in buffer.data)
                scalars[key] = HistoryBuffer(values, counts, max_length=self.bound)
