"""What DEIMv2's weights (github.com/Intellindust-AI-Lab/DEIMv2, arXiv 2509.20787) have besides D-FINE's.

transformers 5.24 has a layer between encoder and query selection that the authors' networks lack. Files made from the
authors' weights have an identity there, which is left out; one that was trained is an error.
"""

import re
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

# Patterns of the authors' names, and names that the tables of RT-DETR and D-FINE rename further.
NAMES: list[tuple[str, str | Callable[[re.Match], str]]] = [
    (r'^encoder\.(fpn|pan)_block\.', r'encoder.\1_blocks.0.'),
    (r'^encoder\.down_sample([12])\.1\.', lambda found: f'{_downsample(found[1])}conv.'),
    (r'^encoder\.down_sample([12])\.2\.', lambda found: f'{_downsample(found[1])}norm.'),
    (r'^encoder\.bi_fusion\.cv\.', 'encoder.global_fusion.'),
    (r'\.swish_ffn\.', '.ffn.'),
    (r'(norm\d?)\.scale$', r'\1.weight'),
]

# Patterns of Hugging Face's names.
HUGGING_FACE_NAMES: list[tuple[str, str | Callable[[re.Match], str]]] = [
    (r'^model\.conv_encoder\.encoder_input_proj\.', 'encoder.input_proj.'),
    (r'\.(fpn|pan)_block\.', r'.\1_blocks.0.'),
    (r'^model\.encoder\.down_conv([12])\.', lambda found: _downsample(found[1])),
    (r'^model\.encoder\.bi_fusion_conv\.', 'encoder.global_fusion.'),
    (r'(_blocks\.\d+)\.conv1\.', r'\1.cv1.'),
    (r'(_blocks\.\d+)\.conv2\.', r'\1.cv4.'),
    (r'(_blocks\.\d+)\.csp_rep([12])\.conv2\.', lambda found: f'{found[1]}.cv{int(found[2]) + 1}.1.'),
    (r'(_blocks\.\d+)\.csp_rep([12])\.', lambda found: f'{found[1]}.cv{int(found[2]) + 1}.0.'),
    (r'\.mlp\.down_proj\.', '.ffn.w3.'),
]

CSP_CONV = re.compile(r'(neck\.(?:top_down|bottom_up)_blocks\.\d+\.stage[12]\.0\.)conv1\.(.+)')
EDGE_BRANCH = re.compile(r'decoder\.dec_bbox_head\.(\d+)\.(.+)')


def _downsample(number: str) -> str:
    return f'encoder.downsample_convs.{int(number) - 1}.1.'


def is_deimv2(weights: Mapping[str, Tensor]) -> bool:
    """Whether weights, by the names of this package or of any source, are those of DEIMv2."""
    return any('ffn.w3.' in key or '.mlp.gate_proj.' in key for key in weights)


def is_lite(weights: Mapping[str, Tensor]) -> bool:
    """Whether weights, by the names of this package or of any source, are of a network with the lite encoder."""
    return any(re.match(r'neck\.global_fusion|(model\.)?encoder\.(global_fusion|bi_fusion)', key) for key in weights)


def rename(key: str) -> str:
    """Return the name that RT-DETR's table renames, for a name of the authors."""
    for pattern, replacement in NAMES:
        key = re.sub(pattern, replacement, key)
    return key


def with_all_branches(weights: Mapping[str, Tensor], num_layers: int) -> dict[str, Tensor]:
    """Return weights with the branch of distributions of each layer; files may have a shared one once."""
    found = {key: EDGE_BRANCH.fullmatch(key) for key in weights}
    if len({match[1] for match in found.values() if match}) != 1:
        return dict(weights)
    copies = {
        f'decoder.dec_bbox_head.{i}.{match[2]}': weights[key]
        for key, match in found.items()
        if match
        for i in range(num_layers)
    }
    return {**weights, **copies}


def split_csp_convs(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Split the convolution of a CSP block, with the names of this package, into those of both branches.

    The first half is the one without blocks.
    """
    split = dict(weights)
    for key, value in weights.items():
        match = CSP_CONV.fullmatch(key)
        if match and f'{match[1]}conv2.{match[2]}' not in weights:
            halves = value.chunk(2) if value.dim() else (value, value)  # a counter of batch normalization has none
            split[f'{match[1]}conv2.{match[2]}'], split[key] = halves
    return split


def join_swiglu(weights: dict[str, Tensor]) -> None:
    """Join Hugging Face's two linear layers of SwiGLU, in place; raises ValueError if there is only one of them."""
    found = {key.replace('.up_proj.', '.gate_proj.') for key in weights if re.search(r'\.mlp\.(gate|up)_proj\.', key)}
    for key in sorted(found):
        parts = (key, key.replace('.gate_proj.', '.up_proj.'))
        missing = [part for part in parts if part not in weights]
        if missing:
            raise ValueError(f'{missing[0]!r} is missing')
        weights[key.replace('.mlp.gate_proj.', '.ffn.w12.')] = torch.cat([weights.pop(part) for part in parts])


def identities(weights: Mapping[str, Tensor]) -> dict[str, str]:
    """Return Hugging Face's names of the layer before the query selection, with the reason why it is left out.

    Raises ValueError if the layer was trained.
    """
    if not is_deimv2(weights):
        return {}
    found = {key: value for key, value in weights.items() if key.startswith('model.enc_output.')}
    for key, value in found.items():
        expected = torch.eye(*value.shape) if value.dim() == 2 else torch.full_like(value, key.endswith('1.weight'))
        if not torch.equal(value, expected.to(value)):
            raise ValueError(f"{key!r} was trained; networks of DEIMv2's authors have no layer there")
    return dict.fromkeys(found, "an identity before a normalization, which networks of DEIMv2's authors lack")


def shares_branches(weights: Mapping[str, Tensor], num_layers: int) -> bool:
    """Whether all decoder layers have the same branch of distributions."""
    first = {key: value for key, value in weights.items() if key.startswith('bbox_head.reg_branches.0.')}
    return num_layers > 1 and all(
        torch.equal(value, weights.get(key.replace('.0.', f'.{i}.', 1), value.new_empty(0)))
        for key, value in first.items()
        for i in range(1, num_layers)
    )
