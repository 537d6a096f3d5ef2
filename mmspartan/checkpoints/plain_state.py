"""Conversion of the Runner's state to plain containers, which ``torch.load`` reads weights-only."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer


def to_plain(content: Any) -> Any:
    """Convert an object to tensors, numbers, strings and plain containers of them.

    NumPy arrays become tensors, and a ``HistoryBuffer`` becomes a dict. An object that cannot be converted becomes the
    string ``str(object)``.
    """
    if content is None or type(content) in (bool, int, float, str, bytes) or isinstance(content, torch.Tensor):
        return content
    if isinstance(content, HistoryBuffer):
        values, counts = (torch.from_numpy(np.array(array)) for array in content.data)
        return dict(values=values, counts=counts, max_length=content.max_length)
    if isinstance(content, np.generic) and content.dtype.kind in 'biuf':
        return content.item()
    if isinstance(content, np.ndarray) and content.dtype.kind in 'biuf':
        return torch.from_numpy(content.copy())
    if isinstance(content, Mapping):
        return {to_plain(key): to_plain(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return (tuple if isinstance(content, tuple) else list)(to_plain(value) for value in content)
    if isinstance(content, set | frozenset):
        return {to_plain(value) for value in content}
    return str(content)


def from_plain_history(history: Any) -> HistoryBuffer:
    """Convert the dict that :func:`to_plain` makes of a ``HistoryBuffer`` back; raises ValueError for others."""
    entries: Any = history if isinstance(history, Mapping) else {}
    values, counts, length = (entries.get(key) for key in ('values', 'counts', 'max_length'))
    are_rows = _is_row_of_numbers(values) and _is_row_of_numbers(counts)
    if not are_rows or values.shape != counts.shape or type(length) is not int or length < 1:
        raise ValueError("a log's history is not one of numbers")
    return HistoryBuffer(values.cpu().numpy(), counts.cpu().numpy(), max_length=length)


def _is_row_of_numbers(row: Any) -> bool:
    is_dense = isinstance(row, torch.Tensor) and row.layout == torch.strided and row.device.type != 'meta'
    return is_dense and row.dim() == 1 and not row.is_complex() and not row.is_quantized
