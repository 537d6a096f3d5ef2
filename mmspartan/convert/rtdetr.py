"""Weights in the names of RT-DETR's PyTorch implementation (rtdetr_pytorch) to those of this package."""

import re
from collections.abc import Mapping

from torch import Tensor

from .spartan import spartan_from_authors

NAMES = {
    r'encoder\.input_proj\.(\d+)\.0\.(.+)': r'neck.input_convs.\1.conv.\2',
    r'encoder\.input_proj\.(\d+)\.1\.(.+)': r'neck.input_convs.\1.norm.\2',
    r'encoder\.encoder\.0\.(.+)': r'neck.aifi.\1',
    r'encoder\.fpn_blocks\.(.+)': r'neck.top_down_blocks.\1',
    r'encoder\.pan_blocks\.(.+)': r'neck.bottom_up_blocks.\1',
    r'encoder\.((?:lateral|downsample)_convs\..+)': r'neck.\1',
    r'decoder\.input_proj\.(.+)': r'input_convs.\1',
    r'decoder\.decoder\.(.+)': r'decoder.\1',
    r'decoder\.(query_pos_head\..+)': r'decoder.\1',
    r'decoder\.denoising_class_embed\.weight': r'denoising.label_embedding.weight',
    r'decoder\.enc_output\.0\.(.+)': r'memory_trans_fc.\1',
    r'decoder\.enc_output\.1\.(.+)': r'memory_trans_norm.\1',
    r'decoder\.enc_score_head\.(.+)': r'bbox_head.cls_branches.{last}.\1',
    r'decoder\.enc_bbox_head\.(.+)': r'bbox_head.reg_branches.{last}.\1',
    r'decoder\.dec_score_head\.(.+)': r'bbox_head.cls_branches.\1',
    r'decoder\.dec_bbox_head\.(.+)': r'bbox_head.reg_branches.\1',
}

# Names inside a module, applied to what the first table gives.
PARTS = [
    (r'\.self_attn\.', '.self_attn.attn.'),
    (r'\.linear1\.', '.ffn.layers.0.0.'),
    (r'\.linear2\.', '.ffn.layers.1.'),
    (r'\.bottlenecks\.(\d+)\.conv1\.', r'.blocks.\1.conv3.'),
    (r'\.bottlenecks\.(\d+)\.conv2\.', r'.blocks.\1.conv1.'),
    (r'(layers\.\d+)\.norm(\d)\.', lambda found: f'{found[1]}.norms.{int(found[2]) - 1}.'),
    (r'(reg_branches\.\d+)\.layers\.(\d)\.', lambda found: f'{found[1]}.{2 * int(found[2])}.'),
]


def rtdetr_from_authors(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a state dict of rtdetr_pytorch with a SpaRTAN backbone in its authors' names.

    Raises:
        KeyError: If a name is none of RT-DETR's.
    """
    backbone = {key.removeprefix('backbone.'): weights[key] for key in weights if key.startswith('backbone.')}
    others = {key: value for key, value in weights.items() if not key.startswith('backbone.')}
    return {**spartan_from_authors(backbone), **encoder_and_decoder(others)}


def encoder_and_decoder(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename what is not the backbone.

    Raises:
        KeyError: If a name is none of RT-DETR's.
    """
    layers = (re.match(r'decoder\.decoder\.layers\.(\d+)', key) for key in weights)
    num_layers = 1 + max(int(found[1]) for found in layers if found)
    return {_rename(key).replace('{last}', str(num_layers)): value for key, value in weights.items()}


def _rename(key: str) -> str:
    for pattern, replacement in NAMES.items():
        if match := re.fullmatch(pattern, key):
            name = match.expand(replacement).replace('{last}', '99')
            for part, new in PARTS:
                name = re.sub(part, new, name)
            return name.replace('branches.99', 'branches.{last}')
    raise KeyError(f'{key!r} is not a weight of RT-DETR')
