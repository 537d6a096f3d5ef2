"""What of a run's log is shown on the screen; the log file holds all of it."""

import logging
import re
import sys
import time
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.registry import HOOKS
from mmengine.utils import ProgressBar

from .long_work import announced

# Beginnings of records that go to the file alone. Details of each run, on the level INFO:
DETAILS = re.compile(
    r'\s*-+\s*System environment:|Config:\n|Hooks will be executed in the following order|paramwise_options -- |'
    r'Exp name: |Distributed training is not used, all SyncBatchNorm|Checkpoints will be saved to |Loads checkpoint by '
)
# Warnings of mmengine on its own calls, which no setting of a user changes:
INTERNAL = re.compile(
    r'"FileClient" will be deprecated|"HardDiskBackend" is the alias of|The prefix is not set in metric class|'
    r'`Visualizer` backend is not initialized|Failed to search registry with scope|'
    r'Resumed iteration number is not divisible by'  # of lost gradients, which ResumableRunner restores or warns of
)
# COCO's table, of which the LoggerHook shows the AP after each evaluation in a training.
TABLE = re.compile(r'Evaluating \w+\.\.\.$|\n Average Precision')
# Lines of the LoggerHook that a progress bar replaces.
STEPS = re.compile(r'(Epoch|Iter)\(test\).*\beta: ')


class ScreenFilter(logging.Filter):
    """Passes the records that a person follows a run by, and remembers when the last one was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.shown_at = time.monotonic()
        self.shows_all = False
        self.has_bar = False
        self.has_tables = True

    def filter(self, record: logging.LogRecord) -> bool:
        hidden = {logging.INFO: DETAILS, logging.WARNING: INTERNAL}.get(record.levelno)
        shown = self.shows_all or hidden is None or not hidden.match(record.getMessage())
        shown = shown and not (self.has_bar and STEPS.match(record.getMessage()))
        shown = shown and (self.shows_all or self.has_tables or not TABLE.match(record.getMessage()))
        if shown:
            self.shown_at = time.monotonic()
        return shown


def filter_screen(logger: MMLogger) -> ScreenFilter:
    """Shorten what a logger shows, unless its level is DEBUG; its file is left as it is."""
    found = ScreenFilter()
    for handler in logger.handlers:
        is_screen = isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler)
        if is_screen:
            found.shows_all = handler.level <= logging.DEBUG
            handler.addFilter(found)
    return found


@HOOKS.register_module()
class SlowStepHook(Hook):
    """Logs the progress when nothing has been shown for some time, whatever the interval of the ``LoggerHook``.

    A test on a terminal has a progress bar instead.

    Args:
        seconds (float): Time without a line. Defaults to 20.
    """

    priority = 'VERY_LOW'  # after the LoggerHook

    def __init__(self, seconds: float = 20.0):
        self.seconds = seconds
        self.bar: ProgressBar | None = None
        self.has_begun = False

    def _after_iter(self, runner: Any, batch_idx: int, mode: str) -> None:
        if is_main_process() and time.monotonic() - runner.screen.shown_at > self.seconds:
            runner.logger.info(runner.log_processor.get_log_after_iter(runner, batch_idx, mode)[1])

    def before_train_epoch(self, runner: Any) -> None:
        if is_main_process() and not self.has_begun:
            self.has_begun = True
            runner.beginning.enter_context(announced('Starting the data loaders and the first step'))

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        runner.beginning.close()
        self._after_iter(runner, batch_idx, 'train')

    def after_val_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        self._after_iter(runner, batch_idx, 'val')

    def before_test_epoch(self, runner: Any) -> None:
        if is_main_process() and sys.stdout.isatty():
            runner.screen.has_bar = True
            self.bar = ProgressBar(len(runner.test_dataloader), file=sys.stdout)

    def after_test_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        if self.bar:
            self.bar.update()
            if self.bar.completed == self.bar.task_num:
                print()
        else:
            self._after_iter(runner, batch_idx, 'test')

    def after_test(self, runner: Any) -> None:
        runner.screen.has_bar, self.bar = False, None
