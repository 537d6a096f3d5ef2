"""Constant tensors that depend on the size of the image only."""

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, ParamSpec, TypeVar

import torch

from .tracing import is_traced

P = ParamSpec('P')
T = TypeVar('T')


def made_once(make: Callable[P, T], most: int = 32) -> Callable[P, T]:
    """Decorate a function that makes constant tensors: they are kept for the ``most`` last arguments.

    Traced code makes them anew, since its sizes may be symbols.
    """

    @lru_cache(most)
    def kept(*args: Any, **kwargs: Any) -> T:
        with torch.inference_mode(False), torch.no_grad():  # tensors of the inference mode cannot be trained with
            return make(*args, **kwargs)

    @wraps(make)
    def made(*args: P.args, **kwargs: P.kwargs) -> T:
        return make(*args, **kwargs) if is_traced() else kept(*args, **kwargs)  # type: ignore[arg-type]

    return made
