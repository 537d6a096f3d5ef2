"""Conversion of weights between the SpaRTAN authors' implementation (github.com/henry-pay/SpaRTAN) and this package.

The authors have blocks and downsamplings in one list, ``layers.<n>``; this package has a list of blocks for each stage,
``stages.<i>.<j>``.
"""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..spartan.backbone import ARCHS, CONV_TYPES

# Prefixes of the names inside a block, the authors' and ours. The first match counts.
BLOCK_NAMES = [
    ('scale_1', 'scale1'),
    ('scale_2', 'scale2'),
    ('norm_1.', 'norm1.'),
    ('norm_2.', 'norm2.'),
    ('smixer.gamma', 'smixer.gamma'),
    ('smixer.proj_in.', 'smixer.proj_in.'),
    ('smixer.proj_out.', 'smixer.proj_out.'),
    ('smixer.h_conv.', 'smixer.high_conv.'),
    ('smixer.l_conv.0.conv.', 'smixer.low_conv.0.'),
    ('smixer.l_conv.1.', 'smixer.low_conv.1.'),
    ('smixer.h_attn.squeeze.', 'smixer.high_se.fc1.'),
    ('smixer.h_attn.expand.', 'smixer.high_se.fc2.'),
    ('smixer.l_attn.squeeze.', 'smixer.low_se.fc1.'),
    ('smixer.l_attn.expand.', 'smixer.low_se.fc2.'),
    ('cmixer.complex', 'cmixer.conv.conv.complex_weight'),
    ('cmixer.conv.', 'cmixer.conv.'),
    ('cmixer.attn.squeeze.', 'cmixer.se.fc1.'),
    ('cmixer.attn.expand.', 'cmixer.se.fc2.'),
    ('cmixer.proj_out.', 'cmixer.proj_out.'),
    # one convolution in this package, amplitudes before phases
    ('cmixer.proj.', 'cmixer.wave.amplitude.'),
    ('cmixer.theta.', 'cmixer.wave.phase.'),
]


def spartan_from_authors(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename and reshape a state dict of the authors' SpaRTAN for mmpretrain's ``ImageClassifier``.

    Args:
        weights: Weights with the authors' names: ``conv.*`` for the stem, ``layers.<n>.*`` for blocks and
            downsamplings, ``linear.*`` for the classifier.

    Returns:
        dict[str, Tensor]: ``backbone.*`` and ``head.fc.*``.

    Raises:
        ValueError: If a weight does not belong to the authors' SpaRTAN.
    """
    prefixes, stage, block = {}, 0, 0
    indices = {int(found[1]) for found in map(re.compile(r'layers\.(\d+)\.').match, weights) if found}
    for n in range(max(indices, default=-1) + 1):
        if n not in indices:
            raise ValueError(f"not a whole SpaRTAN: there is no 'layers.{n}'")
        if f'layers.{n}.scale_1' in weights:
            prefixes[n] = f'backbone.stages.{stage}.{block}.'
            block += 1
        else:
            stage, block = stage + 1, 0
            prefixes[n] = f'backbone.patch_embeds.{stage}.'

    renamed = {}
    for key, value in weights.items():
        head, _, tail = key.partition('.')
        if head == 'conv':
            renamed[f'backbone.patch_embeds.0.{tail}'] = value
        elif head == 'linear':
            renamed[f'head.fc.{tail}'] = value
        elif found := re.fullmatch(r'layers\.(\d+)\.(.+)', key):
            prefix, name = prefixes[int(found[1])], found[2]
            if '.stages.' in prefix:
                name = _translate(name, BLOCK_NAMES, key)
            renamed[prefix + name] = _to_our_shape(name, value)
        else:
            raise ValueError(f"{key!r} is not a weight of the authors' SpaRTAN")

    for key in [key for key in renamed if '.wave.amplitude.' in key]:
        phase = key.replace('.amplitude.', '.phase.')
        if phase not in renamed or renamed[phase].shape != renamed[key].shape or not renamed[key].dim():
            raise ValueError(f'{key!r} has no counterpart of its shape: cmixer.theta is missing or another')
        renamed[key.replace('.amplitude.', '.')] = torch.cat([renamed.pop(key), renamed.pop(phase)])
    return renamed


def spartan_to_authors(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert weights to the authors' names and shapes, the inverse of :func:`spartan_from_authors`.

    Raises:
        ValueError: If a weight does not belong to a SpaRTAN with a linear classifier.
    """
    halves = {}
    for key, value in weights.items():
        if found := re.fullmatch(r'(.+\.cmixer\.wave)\.(\w+)', key):
            for name, half in zip(('amplitude', 'phase'), value.chunk(2)):
                halves[f'{found[1]}.{name}.{found[2]}'] = half.clone()
        else:
            halves[key] = value
    depths = stage_depths(weights)
    starts = [sum(depths[:i]) + i for i in range(len(depths))]  # one downsampling before each later stage

    renamed = {}
    for key, value in halves.items():
        if found := re.fullmatch(r'backbone\.stages\.(\d+)\.(\d+)\.(.+)', key):
            n = starts[int(found[1])] + int(found[2])
            name = _translate(found[3], [(ours, theirs) for theirs, ours in BLOCK_NAMES], key)
            renamed[f'layers.{n}.{name}'] = _to_their_shape(name, value)
        elif found := re.fullmatch(r'backbone\.patch_embeds\.(\d+)\.(.+)', key):
            stage = int(found[1])
            renamed[f'layers.{starts[stage] - 1}.{found[2]}' if stage else f'conv.{found[2]}'] = value
        elif found := re.fullmatch(r'head\.fc\.(.+)', key):
            renamed[f'linear.{found[1]}'] = value
        else:
            raise ValueError(f'{key!r} is not a weight of SpaRTAN with a linear classifier')
    return renamed


def stage_depths(weights: Mapping[str, Tensor]) -> list[int]:
    """Count the blocks ``backbone.stages.<i>.<j>`` of each stage."""
    found = {match.groups() for match in map(re.compile(r'backbone\.stages\.(\d)\.(\d+)\.').match, weights) if match}
    stages = [int(stage) for stage, _ in found]
    return [stages.count(i) for i in range(max(stages, default=-1) + 1)]


def spartan_options(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the arguments, other than defaults, that build the SpaRTAN with these weights ``backbone.*``.

    Raises:
        ValueError: If the weights do not belong to four stages with SMixer and CMixer.
    """

    def shape(name: str) -> torch.Size:
        if f'backbone.{name}' not in weights:
            raise ValueError(f'not a whole SpaRTAN: there is no {name}')
        weight = weights[f'backbone.{name}']
        if weight.dim() != 4 or not weight.numel():
            raise ValueError(f'{name} is {tuple(weight.shape)}; it should have 4 dimensions, none of them 0')
        return weight.shape

    embeds = ['patch_embeds.0.1', *(f'patch_embeds.{i}' for i in (1, 2, 3))]
    channels = tuple(shape(f'{embed}.conv.weight')[0] for embed in embeds)
    waves = [shape(f'stages.{i}.0.cmixer.wave.weight')[0] for i in range(4)]
    arch = dict(
        channels=channels,
        depths=tuple(stage_depths(weights)),
        expand_ratios=tuple(wave // (2 * width) for wave, width in zip(waves, channels)),
    )
    depthwise = tuple(shape(f'stages.{i}.0.smixer.high_conv.conv.weight')[1] == 1 for i in range(4))
    conv_types = [name for name, stages in CONV_TYPES.items() if stages == depthwise]
    if not conv_types:
        raise ValueError(f'stages with depthwise convolutions {depthwise} are none of {CONV_TYPES}')
    options: dict[str, Any] = dict(arch=next((name for name, known in ARCHS.items() if known == arch), arch))
    if conv_types[0] != 'hybrid':
        options['conv_type'] = conv_types[0]
    in_channels = shape('patch_embeds.0.0.conv.weight')[1]
    if in_channels != 3:
        options['in_channels'] = in_channels
    return options


def _translate(name: str, table: list[tuple[str, str]], key: str) -> str:
    for source, target in table:
        if name == source or (source.endswith('.') and name.startswith(source)):
            return target + name[len(source) :]
    raise ValueError(f"{key!r} is not a weight of a block of the authors' SpaRTAN")


def _to_our_shape(name: str, value: Tensor) -> Tensor:
    if name.endswith('complex_weight') and value.shape[-1:] == (2,):
        return value.reshape(-1, 2)
    if name in ('scale1', 'scale2', 'smixer.gamma'):
        return value.reshape(-1, 1, 1)
    return value


def _to_their_shape(name: str, value: Tensor) -> Tensor:
    if name == 'cmixer.complex':
        return value.reshape(1, 1, 1, -1, 2)
    if name in ('scale_1', 'scale_2', 'smixer.gamma'):
        return value.reshape(1, -1, 1, 1)
    return value
