"""What D-FINE's weights (github.com/Peterande/D-FINE, arXiv 2410.13842) have besides RT-DETR's.

DEIM's D-FINE has the same names. Two settings of the distributions are among the tensors, in the authors' files twice.
"""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from .shapes import count, shape_of

# `up` is half of the largest distance, relative to the box's side, `reg_scale` the curvature of the weighting function.
SETTING = re.compile(r'(?:model\.)?(?:decoder\.)+(up|reg_scale)')
UP = 0.5  # in all released models
LEFT_OUT = dict(up=f'it is {UP}, as in this package', reg_scale='it is bbox_head.distribution.scale')

EXPANSIONS = (0.34, 0.5, 1.0)  # of the released sizes; the channels are rounded, so 0.34 is not their quotient


def is_dfine(weights: Mapping[str, Tensor]) -> bool:
    """Whether weights with the names of this package are those of D-FINE."""
    return any(key.startswith('bbox_head.quality_branches.') or '.gate.proj.' in key for key in weights)


def edge_settings(weights: Mapping[str, Tensor]) -> dict[str, float]:
    """Return those of ``up`` and ``reg_scale`` that the weights, with the names of their source, have.

    Raises ValueError if one is not a positive number, ``up`` is not 0.5, or two copies differ.
    """
    found: dict[str, float] = {}
    for key, name in _settings(weights):
        if weights[key].numel() != 1 or not weights[key].item() > 0:
            raise ValueError(f'{key!r} should be one positive number')
        value = float(weights[key].item())
        if name == 'up' and value != UP:
            raise ValueError(f'{key!r} is {value:g}; models of this package have {UP}')
        if found.setdefault(name, value) != value:
            raise ValueError(f'{key!r} is {value:g}, and another copy of it is {found[name]:g}')
    return found


def computed_settings(weights: Mapping[str, Tensor]) -> dict[str, str]:
    """Return the names of the settings among the weights, with the reason why they are left out.

    Their values are for :func:`edge_settings` to check.
    """
    return {key: LEFT_OUT[name] for key, name in _settings(weights)}


def _settings(weights: Mapping[str, Tensor]) -> list[tuple[str, str]]:
    return [(key, found[1]) for key in weights if (found := SETTING.fullmatch(key))]


def encoder_options(weights: Mapping[str, Tensor], hidden_channels: int) -> dict[str, Any]:
    """Return the options of the encoder's fusion blocks, of weights with the names of this package.

    Raises ValueError if a weight is missing.
    """
    prefix = 'neck.top_down_blocks.0.stage1.0.'
    channels = shape_of(weights, f'{prefix}conv1.conv.weight')[0]
    known = (value for value in EXPANSIONS if int(value * hidden_channels // 2) == channels)
    return dict(
        type='DFINEEncoder',
        num_blocks=count(weights, f'{prefix}blocks.'),
        expansion=next(known, 2 * channels / hidden_channels),
    )
