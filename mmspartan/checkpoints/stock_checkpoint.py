"""Weights-only loading of the checkpoints of a stock mmengine, by stand-ins for the classes that they contain.

mmengine 0.10's Runner stores its log as ``HistoryBuffer`` objects, NumPy arrays and NumPy scalars, which ``torch.load``
rejects with ``weights_only=True`` (the default from torch 2.6). If those classes themselves were on torch's list of
safe globals, a file could call them: ``numpy.ndarray`` with a negative offset reads memory outside of its buffer. The
stand-ins have the same names, check shape, dtype and size of their arguments, and call nothing else.
"""

import math
import pickle
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

# The dtypes of the log and the runtime information, by NumPy's type codes.
DTYPES = {np.dtype(code).str[1:]: np.dtype(code) for code in '?bBhHiIlLqQefd'}


class NotPlainError(pickle.UnpicklingError):
    """The content of a file is no plain data; the message names what it is."""


class StoredDtype:
    """Stand-in for a ``numpy.dtype`` of numbers or booleans."""

    def __init__(self, code: str, align: bool = False, copy: bool = True):
        if code not in DTYPES:
            raise NotPlainError(f'numpy.dtype({code!r}), which is not one of numbers')
        self.dtype = DTYPES[code]

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) < 2 or state[1] not in ('<', '|', '='):
            raise NotPlainError('a numpy.dtype of another byte order')


class StoredArray:
    """Stand-in for a ``numpy.ndarray``. It is created empty; its state sets the tensor ``value``."""

    def __init__(self):
        self.value: torch.Tensor | None = None

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, is_fortran, content = state
        sizes = isinstance(shape, tuple) and len(shape) <= 8 and all(type(n) is int and n >= 0 for n in shape)
        if not sizes or type(dtype) is not StoredDtype or type(content) is not bytes:
            raise NotPlainError('a numpy.ndarray of another kind than numbers')
        if math.prod(shape) * dtype.dtype.itemsize != len(content):
            raise NotPlainError('a numpy.ndarray whose shape does not fit its content')
        array = np.frombuffer(content, dtype.dtype).reshape(shape, order='F' if is_fortran is True else 'C')
        self.value = torch.from_numpy(array.copy())


class StoredHistory:
    """Stand-in for an ``mmengine.logging.HistoryBuffer``, which keeps only values, counts and length of its state."""

    def __setstate__(self, state: Any) -> None:
        if type(state) is not dict:
            raise NotPlainError('a HistoryBuffer without a state')
        arrays = (state.get(name) for name in ('_log_history', '_count_history'))
        values, counts = (array.value if type(array) is StoredArray else None for array in arrays)
        if values is None or counts is None or values.shape != counts.shape:
            raise NotPlainError('a HistoryBuffer without values and counts of the same shape')
        self.value = dict(values=values, counts=counts, max_length=int(state.get('max_length', 1_000_000)))


def stored_array(kind: Any, shape: Any, code: Any) -> StoredArray:
    """Stand-in for NumPy's ``_reconstruct``, which creates an array that its state fills."""
    if kind is not StoredArray:
        raise NotPlainError('an array that is no numpy.ndarray')
    return StoredArray()


def stored_scalar(dtype: Any, content: Any) -> bool | int | float:
    """Stand-in for NumPy's ``scalar``, which returns a Python number."""
    if type(dtype) is not StoredDtype or type(content) is not bytes or len(content) != dtype.dtype.itemsize:
        raise NotPlainError('a numpy scalar of another kind than numbers')
    return np.frombuffer(content, dtype.dtype)[0].item()


def stored_method(owner: Any, name: Any) -> None:
    """Stand-in for ``getattr``, which a HistoryBuffer's table of statistics calls; the table is not kept."""
    if owner is not StoredHistory:
        raise pickle.UnpicklingError('getattr is not allowed in a checkpoint')


def _named(stand_in: Callable, name: str) -> Callable:
    """Rename a stand-in to the name in a pickle, since torch looks up safe globals by module and qualified name."""
    module, _, stand_in.__qualname__ = name.rpartition('.')
    stand_in.__module__ = module
    return stand_in


def _array_of_numpy_1(kind: Any, shape: Any, code: Any) -> StoredArray:
    return stored_array(kind, shape, code)


def _scalar_of_numpy_1(dtype: Any, content: Any) -> bool | int | float:
    return stored_scalar(dtype, content)


STAND_INS: list[Any] = [
    _named(StoredDtype, 'numpy.dtype'),
    _named(StoredArray, 'numpy.ndarray'),
    _named(StoredHistory, 'mmengine.logging.history_buffer.HistoryBuffer'),
    _named(stored_method, 'builtins.getattr'),
    _named(stored_array, 'numpy._core.multiarray._reconstruct'),
    _named(stored_scalar, 'numpy._core.multiarray.scalar'),
    _named(_array_of_numpy_1, 'numpy.core.multiarray._reconstruct'),
    _named(_scalar_of_numpy_1, 'numpy.core.multiarray.scalar'),
]


MAX_ENTRIES = 10_000_000
HAS_SAFE_GLOBALS = hasattr(torch.serialization, 'safe_globals')  # from torch 2.5 on


@contextmanager
def stand_ins() -> Iterator[None]:
    """Make weights-only loading use the stand-ins, and no class that others allowed, within this context.

    The list of allowed classes belongs to the process: the classes of the same names may be on it, and a fork of
    mmengine takes classes off it whenever it loads a file. It is the same after this context as before.
    """
    before = torch.serialization.get_safe_globals()
    torch.serialization.clear_safe_globals()
    torch.serialization.add_safe_globals(STAND_INS)
    try:
        yield
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(before)


def without_stand_ins(content: Any) -> Any:
    """Replace stand-ins by the tensors and dicts that they hold, in containers of any depth.

    A container without stand-ins is returned unchanged, since a state dict has attributes that a copy would lose. Of a
    tensor with attributes, which may hide its methods, only the values are returned.

    Raises:
        NotPlainError: If the content is no plain data, or has more than ``MAX_ENTRIES`` entries.
    """
    result, _ = _replace(content, {})
    return result


def _replace(content: Any, seen: dict[int, tuple[Any, Any, int]]) -> tuple[Any, int]:
    """Return the replacement and its number of entries; a container counts as often as a pickle refers to it."""
    if type(content) in (StoredArray, StoredHistory):
        return content.value, 1
    if type(content) is StoredDtype:
        return str(content.dtype), 1
    if callable(content) and content in STAND_INS:
        raise NotPlainError(f'{content.__qualname__} itself is no value')
    if isinstance(content, torch.Tensor) and content.__dict__:
        return torch.Tensor.detach(content), 1
    if not isinstance(content, Mapping | list | tuple):
        return content, 1
    attributes = getattr(content, '__dict__', {})
    if attributes.keys() - {'_metadata'}:  # a pickle can override a method of an OrderedDict
        raise NotPlainError(f'a {type(content).__name__} with attributes')
    if '_metadata' in attributes:
        _replace(attributes['_metadata'], seen)
    if id(content) not in seen:  # visit an object once, however often a pickle refers to it
        seen[id(content)] = (content, None, 0)
        before = list(content.values() if isinstance(content, Mapping) else content)
        after, counts = zip(*(_replace(value, seen) for value in before)) if before else ((), ())
        result = content
        if any(new is not old for new, old in zip(after, before)):
            result = dict(zip(content, after)) if isinstance(content, Mapping) else type(content)(after)
        if sum(counts) > MAX_ENTRIES:  # few containers that hold each other may stand for billions of entries
            raise NotPlainError(f'a container of more than {MAX_ENTRIES:,} entries')
        seen[id(content)] = (content, result, 1 + sum(counts))
    _, result, count = seen[id(content)]
    if result is None:
        raise NotPlainError('a container that holds itself')
    return result, count
