"""Weights in the names of the authors' implementation (github.com/henry-pay/SpaRTAN) to those of this package."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

# Names inside a block, which has them under layers.<n>. there and under stages.<i>.<j>. here.
BLOCK_NAMES = {
    r'scale_([12])': r'scale\1',
    r'norm_([12])\.(\w+)': r'norm\1.\2',
    r'smixer\.gamma': r'smixer.gamma',
    r'smixer\.(proj_in|proj_out)\.(\w+)': r'smixer.\1.\2',
    r'smixer\.h_conv\.(.+)': r'smixer.high_conv.\1',
    r'smixer\.l_conv\.0\.conv\.weight': r'smixer.low_conv.0.weight',
    r'smixer\.l_conv\.1\.(.+)': r'smixer.low_conv.1.\1',
    r'smixer\.h_attn\.squeeze\.(\w+)': r'smixer.high_se.fc1.\1',
    r'smixer\.h_attn\.expand\.(\w+)': r'smixer.high_se.fc2.\1',
    r'smixer\.l_attn\.squeeze\.(\w+)': r'smixer.low_se.fc1.\1',
    r'smixer\.l_attn\.expand\.(\w+)': r'smixer.low_se.fc2.\1',
    r'cmixer\.complex': r'cmixer.conv.conv.complex_weight',
    r'cmixer\.proj\.(\w+)': r'cmixer.wave.\1.amplitude',
    r'cmixer\.theta\.(\w+)': r'cmixer.wave.\1.phase',
    r'cmixer\.conv\.(.+)': r'cmixer.conv.\1',
    r'cmixer\.attn\.squeeze\.(\w+)': r'cmixer.se.fc1.\1',
    r'cmixer\.attn\.expand\.(\w+)': r'cmixer.se.fc2.\1',
    r'cmixer\.proj_out\.(\w+)': r'cmixer.proj_out.\1',
}


def spartan_from_authors(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename and reshape a state dict of the authors' SpaRTAN for mmpretrain's ``ImageClassifier``.

    Args:
        weights: The authors' names: ``conv.*`` the stem, ``layers.<n>.*`` blocks and downsamplings in one list,
            ``linear.*`` the classifier.

    Returns:
        dict[str, Tensor]: ``backbone.*`` and ``head.fc.*``.

    Raises:
        KeyError: If a name is none of the authors'.
    """
    is_block = {int(key.split('.')[1]): False for key in weights if key.startswith('layers.')}
    for n in is_block:
        is_block[n] = f'layers.{n}.scale_1' in weights
    places, stage, index = {}, 0, 0
    for n in sorted(is_block):
        if is_block[n]:
            places[n] = f'backbone.stages.{stage}.{index}.'
            index += 1
        else:
            stage, index = stage + 1, 0
            places[n] = f'backbone.patch_embeds.{stage}.'

    renamed = {}
    for key, value in weights.items():
        head, _, tail = key.partition('.')
        if head == 'conv':
            renamed[f'backbone.patch_embeds.0.{tail}'] = value
        elif head == 'linear':
            renamed[f'head.fc.{tail}'] = value
        elif head == 'layers':
            n, _, tail = tail.partition('.')
            name = _block_name(tail) if is_block[int(n)] else tail
            renamed[places[int(n)] + name] = _reshape(name, value)
        else:
            raise KeyError(f"{key!r} is not a weight of the authors' SpaRTAN")

    for key in [key for key in renamed if key.endswith('.amplitude')]:  # one convolution for both
        key = key.removesuffix('.amplitude')
        renamed[key] = torch.cat([renamed.pop(f'{key}.amplitude'), renamed.pop(f'{key}.phase')])
    return renamed


def _block_name(name: str) -> str:
    for pattern, replacement in BLOCK_NAMES.items():
        if match := re.fullmatch(pattern, name):
            return match.expand(replacement)
    raise KeyError(f"{name!r} is not a weight of a block of the authors' SpaRTAN")


def _reshape(name: str, value: Tensor) -> Tensor:
    if name.endswith('complex_weight'):
        return value.reshape(-1, 2)
    if name in ('scale1', 'scale2', 'smixer.gamma'):
        return value.reshape(-1, 1, 1)
    return value
