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
        InputError: If the file does not exist or is damaged, or safetensors is not installed.
    """
    if not Path(path).is_file():
        raise InputError(f'{path}: no such file')
    try:
        from safetensors import safe_open
    except ImportError as error:
        raise InputError(f'{path}: reading it needs safetensors: pip install safetensors') from error
    try:
        with safe_open(path, 'pt', 'cpu') as file:
            weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - it is no dict
            classes = json.loads((file.metadata() or {}).get('classes', '[]'))
    except Exception as error:  # a library in Rust, with errors of many types
        raise InputError(f'{path}: damaged, or not a file of safetensors: {" ".join(str(error).split())}') from error
    if callable(map_location) or map_location is None:
        map_location = 'cpu'
    weights = {key: value.to(map_location) for key, value in weights.items()}
    return dict(state_dict=weights, meta=dict(dataset_meta=dict(classes=tuple(classes))) if classes else {})


def float16_safetensors(weights: Mapping[str, Tensor], classes: Sequence[str]) -> bytes:
    """Return the content of a file of weights in float16; integers stay as they are."""
    from safetensors.torch import save

    halves = {key: value.half() if value.is_floating_point() else value for key, value in weights.items()}
    for key, value in halves.items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise InputError(f'{key}: has values that float16 does not have')
    return save({key: value.contiguous() for key, value in halves.items()}, {'classes': json.dumps([*classes])})
