"""Shapes of weights, from which the converters derive the widths of a model."""

from collections.abc import Mapping

import torch
from torch import Tensor


def shape_of(weights: Mapping[str, Tensor], name: str) -> torch.Size:
    """Return the shape of a weight of a detector: 4 numbers for a convolution, 2 for a linear layer.

    Raises ValueError if the weight is missing, or has another number of dimensions or no elements.
    """
    if name not in weights:
        raise ValueError(f'not a whole detector: there is no {name}')
    dims = 4 if '.conv.' in name else 2
    if weights[name].dim() != dims or not weights[name].numel():
        raise ValueError(f'{name} is {tuple(weights[name].shape)}; it should have {dims} dimensions, none 0')
    return weights[name].shape


def count(weights: Mapping[str, Tensor], prefix: str) -> int:
    """Count the modules ``<prefix><i>.*``."""
    return len({key[len(prefix) :].partition('.')[0] for key in weights if key.startswith(prefix)})
