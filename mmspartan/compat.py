"""What this package does with the internals of others, each with what would make it unnecessary.

Written for mmengine 0.10 and mmdet 3.2 and 3.3, and tested with the versions of docs/versions.md.
"""

import copy
import traceback
from collections.abc import Callable
from types import FunctionType
from typing import Any, TypeVar

from mmengine.config import Config

# Unnecessary if mmengine's Runner had a method that loads a checkpoint which is already read.
from mmengine.runner.checkpoint import _load_checkpoint_to_model as load_checkpoint_to_model

T = TypeVar('T')

__all__ = ['load_checkpoint_to_model', 'locals_of', 'with_class', 'with_globals', 'without_formatting']


def locals_of(error: BaseException, function: Any) -> list[dict[str, Any]]:
    """Return the local variables of each call of a function that an error went through, the outermost call first.

    Unnecessary if mmengine's errors named the entry of the config that was built, and the file that was read.
    """
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    return [frame.f_locals for frame in frames if frame.f_code is function.__code__]


def with_globals(function: Callable[..., T], **names: Any) -> Callable[..., T]:
    """Return a copy of a function for which some global names have other values.

    Unnecessary if mmdet's ``CocoMetric`` took the class of its evaluator as an argument.
    """
    original: Any = function
    return FunctionType(
        original.__code__, {**original.__globals__, **names}, original.__name__, None, original.__closure__
    )


def with_class(instance: Any, kind: type[T]) -> T:
    """Make an instance one of a subclass of its class, which has no attributes of its own.

    Unnecessary if mmengine's ``Runner.build_dataloader`` took the class of the data loader as an argument.
    """
    instance.__class__ = kind
    return instance


def without_formatting(cfg: Config) -> Config:
    """Return a config whose text yapf does not format, which takes a second for each log and checkpoint.

    Unnecessary if mmengine's ``Config.fromfile`` heeded its argument ``format_python_code``.
    """
    cfg = copy.copy(cfg)
    object.__setattr__(cfg, '_format_python_code', False)
    return cfg
