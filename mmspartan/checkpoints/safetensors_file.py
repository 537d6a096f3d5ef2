"""Weights in files of safetensors, with the class names in the metadata."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError

SUFFIX = '.safetensors'


def read_safetensors(path: str | Path, map_location: Any = 'cpu') -> dict[str, Any]:
    """Read weights as mmengine's Runner saves them: ``state_dict``, and ``meta`` with class names if the file has them.

    Raises:
        InputError: If the file does not exist or is damaged.
    """
    if not Path(path).is_file():
        raise InputError(f'{path}: no such file')
    from safetensors import safe_open

    try:
        with safe_open(path, 'pt', 'cpu') as file:
            weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - it is no dict
            metadata = file.metadata() or {}
    except Exception as error:  # a library in Rust, with errors of many types
        raise InputError(f'{path}: damaged, or not a file of safetensors: {" ".join(str(error).split())}') from error
    if callable(map_location) or map_location is None:
        map_location = 'cpu'
    weights = {key: value.to(map_location) for key, value in weights.items()}
    classes = _classes(metadata.get('classes', ''))
    return dict(state_dict=weights, meta=dict(dataset_meta=dict(classes=classes)) if classes else {})


def _classes(text: str) -> tuple[str, ...]:
    """Return the class names in the metadata of :func:`float16_safetensors`; none of a file with other metadata."""
    try:
        names = json.loads(text)
    except ValueError:
        return ()
    is_list_of_names = isinstance(names, list) and all(isinstance(name, str) for name in names)
    return tuple(names) if is_list_of_names else ()


def float16_safetensors(weights: Mapping[str, Tensor], classes: Sequence[str]) -> bytes:
    """Return the content of a file of weights in float16; integers stay as they are.

    Raises:
        InputError: If a value is not finite in float16.
    """
    from safetensors.torch import save

    halves = {key: value.half() if value.is_floating_point() else value for key, value in weights.items()}
    for key, value in halves.items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise InputError(f'{key}: has values outside of the range of float16')
    return save(
        {key: value.clone(memory_format=torch.contiguous_format) for key, value in halves.items()},
        {'classes': json.dumps([*classes])},
    )
