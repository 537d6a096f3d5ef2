"""Conversion of the weights of HGNetV2, the backbone of D-FINE, whose parts have the same names in timm.

D-FINE's authors have them in a detector, and in files of the backbone such as ``PPHGNetV2_B0_stage1.pth``.
"""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from .shapes import count, shape_of

# Channels of the stem's and of the last stage's output.
WIDTHS = {
    'b0': (16, 1024),
    'b1': (32, 1024),
    'b2': (32, 1536),
    'b3': (32, 2048),
    'b4': (48, 2048),
    'b5': (64, 2048),
    'b6': (96, 2048),
}

# Of DEIMv2's networks of three stages: channels and blocks of the last one. Pico's are the first three of B0.
THREE_STAGES = {'atto': (256, 1), 'femto': (512, 1), 'b0': (512, 2)}

# Patterns of Hugging Face's names, and the authors' names.
HUGGING_FACE_NAMES = [
    (r'^embedder\.', 'stem.'),
    (r'^encoder\.stages\.', 'stages.'),
    (r'\.convolution\.', '.conv.'),
    (r'\.normalization\.', '.bn.'),
]


def hgnet_from_authors(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename weights ``stem.*`` and ``stages.*`` to ``backbone.net.*``."""
    return {f'backbone.net.{key.replace("stages.", "stages_", 1)}': value for key, value in weights.items()}


def hgnet_from_hugging_face(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename weights ``embedder.*`` and ``encoder.stages.*`` to ``backbone.net.*``."""
    renamed = {}
    for key, value in weights.items():
        for pattern, replacement in HUGGING_FACE_NAMES:
            key = re.sub(pattern, replacement, key)
        renamed[key] = value
    return hgnet_from_authors(renamed)


def is_hgnet(weights: Mapping[str, Tensor]) -> bool:
    """Whether weights with the authors' names are those of the backbone alone."""
    return 'stem.stem1.conv.weight' in weights and not any(key.startswith(('encoder.', 'decoder.')) for key in weights)


def hgnet_options(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the options that build the HGNetV2 with these weights ``backbone.net.*``.

    Raises ValueError if the widths are not those of B0 to B6 or of DEIMv2's, or a weight is missing.
    """
    has_four = any(key.startswith('backbone.net.stages_3.') for key in weights)
    known, last = (WIDTHS, 'stages_3.blocks.') if has_four else (THREE_STAGES, 'stages_2.blocks.')
    channels = shape_of(weights, f'backbone.net.{last}0.aggregation.1.conv.weight')[0]
    if has_four:
        found = (shape_of(weights, 'backbone.net.stem.stem4.conv.weight')[0], channels)
        described = f'{found} channels after stem and last stage'
    else:
        found = (channels, count(weights, f'backbone.net.{last}'))
        described = f'three stages, {found[0]} channels and {found[1]} blocks in the last one'
    arch = next((name for name, numbers in known.items() if numbers == found), None)
    if arch is None:
        raise ValueError(f'an HGNetV2 with {described} is none of {", ".join(known)}')
    return dict(type='HGNetV2', arch=arch)
