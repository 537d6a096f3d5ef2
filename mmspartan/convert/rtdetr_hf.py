"""Weights of Hugging Face's ``RTDetrForObjectDetection`` (ResNet-vd backbone) to those of this package."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from .rtdetr import encoder_and_decoder

# To the names of rtdetr_pytorch.
NAMES = [
    (r'^model\.encoder_input_proj\.', 'encoder.input_proj.'),
    (r'^model\.encoder\.', 'encoder.'),
    (r'^model\.decoder_input_proj\.(\d+)\.0\.', r'decoder.input_proj.\1.conv.'),
    (r'^model\.decoder_input_proj\.(\d+)\.1\.', r'decoder.input_proj.\1.norm.'),
    (r'^model\.decoder\.class_embed\.', 'decoder.dec_score_head.'),
    (r'^model\.decoder\.bbox_embed\.', 'decoder.dec_bbox_head.'),
    (r'^model\.decoder\.query_pos_head\.', 'decoder.query_pos_head.'),
    (r'^model\.decoder\.layers\.', 'decoder.decoder.layers.'),
    (r'^model\.(denoising_class_embed|enc_\w+)\.', r'decoder.\1.'),
    (r'(encoder\.encoder\..+)\.final_layer_norm\.', r'\1.norm2.'),
    (r'\.self_attn_layer_norm\.', '.norm1.'),
    (r'\.encoder_attn_layer_norm\.', '.norm2.'),
    (r'\.final_layer_norm\.', '.norm3.'),
    (r'\.encoder_attn\.', '.cross_attn.'),
    (r'\.fc(\d)\.', r'.linear\1.'),
]


def rtdetr_from_hugging_face(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a state dict; query, key and value projections become one, the copies of the heads are left out.

    Raises:
        KeyError: If a name is none of RT-DETR's.
    """
    renamed, others = {}, {}
    for key, value in weights.items():
        if key.startswith('model.backbone.model.'):
            renamed['backbone.' + _resnet_name(key.removeprefix('model.backbone.model.'))] = value
        elif not key.startswith(('class_embed.', 'bbox_embed.')):  # the same tensors as below model.decoder
            for pattern, replacement in NAMES:
                key = re.sub(pattern, replacement, key)
            others[key] = value
    for key in [key for key in others if '.self_attn.q_proj.' in key]:
        parts = [others.pop(key.replace('.q_proj.', f'.{part}_proj.')) for part in 'qkv']
        others[key.replace('.q_proj.', '.in_proj_')] = torch.cat(parts)
    return {**renamed, **encoder_and_decoder(others)}


def _resnet_name(key: str) -> str:
    kind = {'convolution': 0, 'normalization': 1}
    if match := re.fullmatch(r'embedder\.embedder\.(\d)\.(\w+)\.(\w+)', key):
        return f'stem.{3 * int(match[1]) + kind[match[2]]}.{match[3]}'
    if match := re.fullmatch(r'encoder\.stages\.(\d)\.layers\.(\d+)\.layer\.(\d)\.(\w+)\.(\w+)', key):
        stage, block, index, part, name = match.groups()
        part = 'conv' if part == 'convolution' else 'bn'
        return f'layer{int(stage) + 1}.{block}.{part}{int(index) + 1}.{name}'
    if match := re.fullmatch(r'encoder\.stages\.(\d)\.layers\.(\d+)\.shortcut\.(?:1\.)?(\w+)\.(\w+)', key):
        stage, block, part, name = match.groups()
        return f'layer{int(stage) + 1}.{block}.downsample.{1 + kind[part]}.{name}'
    raise KeyError(f'{key!r} is not a weight of a ResNet-vd of Hugging Face')
