"""Conversion of the weights of Hugging Face's ``RTDetrForObjectDetection``, ``RTDetrV2ForObjectDetection``,
``DFineForObjectDetection`` and ``Deimv2ForObjectDetection``.

Files have the names of transformers 4. Models of transformers 5 have others, by which weights are converted too.
"""

import re
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from .deimv2 import HUGGING_FACE_NAMES as DEIMV2_NAMES
from .deimv2 import identities, is_deimv2, join_swiglu
from .dfine import computed_settings
from .hgnet import hgnet_from_hugging_face
from .rtdetr import computed_factors, encoder_and_decoder

BACKBONE = re.compile(r'model\.(backbone|conv_encoder)\.model\.')  # the second is of DEIMv2

# Patterns of Hugging Face's names, and the names of rtdetr_pytorch.
NAMES: list[tuple[str, str | Callable[[re.Match], str]]] = [
    # transformers 5
    (r'\.aifi\.', '.encoder.'),
    (r'\.o_proj\.', '.out_proj.'),
    (r'\.mlp\.fc(\d)\.', r'.fc\1.'),
    (r'\.mlp\.layers\.([01])\.', lambda found: f'.fc{int(found[1]) + 1}.'),
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

# Of D-FINE's fusion blocks; applied first.
DFINE_BLOCKS: list[tuple[str, str | Callable[[re.Match], str]]] = [
    (r'(_blocks\.\d+)\.conv1\.', r'\1.cv1.'),
    (r'(_blocks\.\d+)\.conv([23])\.', r'\1.cv\2.1.'),
    (r'(_blocks\.\d+)\.conv4\.', r'\1.cv4.'),
    (r'(_blocks\.\d+)\.csp_rep1\.', r'\1.cv2.0.'),
    (r'(_blocks\.\d+)\.csp_rep2\.', r'\1.cv3.0.'),
]

# Of D-FINE and DEIMv2; applied next.
DFINE_NAMES: list[tuple[str, str | Callable[[re.Match], str]]] = [
    (r'(downsample_convs\.\d+)\.conv([12])\.(conv|norm)', r'\1.0.cv\2.\3'),
    (r'^model\.decoder\.(pre_bbox_head\.|up$|reg_scale$)', r'decoder.\1'),
    (r'^model\.decoder\.lqe_layers\.', 'decoder.decoder.lqe_layers.'),
]


def rtdetr_from_hugging_face(weights: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Rename a state dict, and concatenate the query, key and value projections.

    The file holds the heads below ``model.decoder``, at the top level, or in both places.

    Returns:
        tuple[dict[str, Tensor], dict[str, str]]: Weights with the names of this package, and the reason for each name
        that is left out.

    Raises:
        ValueError: If a weight does not belong to RT-DETR, D-FINE or DEIMv2, the two copies of a head differ, or the
            layer that transformers adds to DEIMv2 was trained.
    """
    backbone, others, left_out, sources = {}, {}, identities(weights), {}
    blocks = DEIMV2_NAMES if is_deimv2(weights) else DFINE_BLOCKS
    names = [*([*blocks, *DFINE_NAMES] if any('.csp_rep1.' in key for key in weights) else []), *NAMES]
    for source, value in weights.items():
        key = source
        if source in left_out:
            continue
        if found := BACKBONE.match(key):
            backbone[key[found.end() :]] = value
            continue
        if key.startswith(('class_embed.', 'bbox_embed.')):
            twin = f'model.decoder.{key}'
            if twin in weights:
                if not torch.equal(value, weights[twin]):
                    raise ValueError(f'{key!r} and {twin!r} differ; they are one head')
                left_out[key] = f'a copy of {twin}'
                continue
            key = twin
        for pattern, replacement in names:
            key = re.sub(pattern, replacement, key)
        others[key], sources[key] = value, source
    for key, reason in (computed_factors(others) | computed_settings(others)).items():
        left_out[sources[key]] = reason
        del others[key]
    for key in [key for key in others if '.self_attn.q_proj.' in key]:
        parts = [key.replace('.q_proj.', f'.{letter}_proj.') for letter in 'qkv']
        missing = [part for part in parts if part not in others]
        if missing:
            raise ValueError(f'{missing[0]!r} is missing')
        others[key.replace('.q_proj.', '.in_proj_')] = torch.cat([others.pop(part) for part in parts])
    join_swiglu(others)
    is_hgnet = any(key.startswith('embedder.stem') for key in backbone)
    convert = hgnet_from_hugging_face if is_hgnet else _resnet_from_hugging_face
    return {**convert(backbone), **encoder_and_decoder(others, sources)}, left_out


def _resnet_from_hugging_face(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {'backbone.' + _resnet_name(key): value for key, value in weights.items()}


def _resnet_name(key: str) -> str:
    kind = {'convolution': 0, 'normalization': 1}
    if match := re.fullmatch(r'embedder\.embedder\.(\d)\.(\w+)\.(\w+)', key):
        return f'stem.{3 * int(match[1]) + kind[match[2]]}.{match[3]}'
    if match := re.fullmatch(r'encoder\.stages\.(\d)\.layers\.(\d+)\.layer\.(\d)\.(\w+)\.(\w+)', key):
        stage, block, index, layer, name = match.groups()
        layer = 'conv' if layer == 'convolution' else 'bn'
        return f'layer{int(stage) + 1}.{block}.{layer}{int(index) + 1}.{name}'
    if match := re.fullmatch(r'encoder\.stages\.(\d)\.layers\.(\d+)\.shortcut\.(?:1\.)?(\w+)\.(\w+)', key):
        stage, block, layer, name = match.groups()
        return f'layer{int(stage) + 1}.{block}.downsample.{1 + kind[layer]}.{name}'
    raise ValueError(f'{key!r} is not a weight of a ResNet-vd of Hugging Face')
