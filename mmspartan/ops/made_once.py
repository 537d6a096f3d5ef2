"""Constant tensors that depend on the size of the image only."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, wraps
from typing import Any, ParamSpec, TypeVar

import torch

from .tracing import is_traced

P = ParamSpec('P')
T = TypeVar('T')

_holders: list[list] = []  # of `held`


@contextmanager
def held() -> Iterator[list]:
    """Within this context the constants in use are added to a list, which keeps them in memory."""
    constants: list = []
    _holders.append(constants)
    try:
        yield constants
    finally:
        _holders.remove(constants)


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
        if is_traced():
            return make(*args, **kwargs)
        value: T = kept(*args, **kwargs)  # type: ignore[arg-type]
        for holder in _holders:
            holder.append(value)
        return value

    return made
