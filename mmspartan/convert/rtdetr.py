"""Conversion of the weights of RT-DETR's PyTorch implementation (rtdetr_pytorch) to the names of this package.

Weights of RT-DETRv2 (rtdetrv2_pytorch, arXiv 2407.17140) have other names, and show the number of points on each level,
as do those of D-FINE and DEIM. They do not show whether the network samples discretely (``_dsp``), nor its activations.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from .deimv2 import is_deimv2, is_lite, rename, shares_branches, split_csp_convs, with_all_branches
from .dfine import computed_settings, encoder_options, is_dfine
from .hgnet import hgnet_from_authors, hgnet_options
from .shapes import count, shape_of
from .spartan import spartan_from_authors, spartan_options

NAMES = {
    r'encoder\.input_proj\.(\d+)\.(?:0|conv)\.(.+)': r'neck.input_convs.\1.conv.\2',
    r'encoder\.input_proj\.(\d+)\.(?:1|norm)\.(.+)': r'neck.input_convs.\1.norm.\2',
    r'encoder\.encoder\.0\.(.+)': r'neck.aifi.\1',
    r'encoder\.fpn_blocks\.(.+)': r'neck.top_down_blocks.\1',
    r'encoder\.pan_blocks\.(.+)': r'neck.bottom_up_blocks.\1',
    r'encoder\.((?:lateral_convs|downsample_convs|global_fusion)\..+)': r'neck.\1',
    r'decoder\.input_proj\.(.+)': r'input_convs.\1',
    r'decoder\.decoder\.lqe_layers\.(\d+)\.reg_conf\.(.+)': r'bbox_head.quality_branches.\1.mlp.\2',
    r'decoder\.decoder\.(.+)': r'decoder.\1',
    r'decoder\.pre_bbox_head\.(.+)': r'bbox_head.initial_reg_branch.\1',
    r'decoder\.(query_pos_head\..+)': r'decoder.\1',
    r'decoder\.denoising_class_embed\.weight': r'denoising.label_embedding.weight',
    r'decoder\.enc_output\.(?:0|proj)\.(.+)': r'memory_trans_fc.\1',
    r'decoder\.enc_output\.(?:1|norm)\.(.+)': r'memory_trans_norm.\1',
    r'decoder\.enc_score_head\.(.+)': r'bbox_head.cls_branches.{last}.\1',
    r'decoder\.enc_bbox_head\.(.+)': r'bbox_head.reg_branches.{last}.\1',
    r'decoder\.dec_score_head\.(.+)': r'bbox_head.cls_branches.\1',
    r'decoder\.dec_bbox_head\.(.+)': r'bbox_head.reg_branches.\1',
}

# D-FINE's names of the parts of a fusion block.
ELAN_NAMES = ('conv1', 'stage1', 'stage2', 'conv2')

# Names inside a module, replaced in the result of the first table.
INNER_NAMES: list[tuple[str, str | Callable[[re.Match], str]]] = [
    (r'\.self_attn\.', '.self_attn.attn.'),
    (r'\.linear1\.', '.ffn.layers.0.0.'),
    (r'\.linear2\.', '.ffn.layers.1.'),
    (r'\.bottlenecks\.(\d+)\.conv1\.', r'.blocks.\1.conv3.'),
    (r'\.bottlenecks\.(\d+)\.conv2\.', r'.blocks.\1.conv1.'),
    (r'\.gateway\.gate\.', '.gate.proj.'),
    (r'\.gateway\.norm\.', '.norm2.'),
    (r'(_blocks\.\d)\.cv([1234])\.', lambda found: f'{found[1]}.{ELAN_NAMES[int(found[2]) - 1]}.'),
    (r'(downsample_convs\.\d\.)0\.cv([12])\.', lambda found: f'{found[1]}{int(found[2]) - 1}.'),
    (r'(layers\.\d+)\.norm(\d)\.', lambda found: f'{found[1]}.norms.{int(found[2]) - 1}.'),
    (r'(reg_branches\.\d+|initial_reg_branch)\.layers\.(\d)\.', lambda found: f'{found[1]}.{2 * int(found[2])}.'),
]


# Names of PResNet, variant d. The first module of a shortcut, pooling or identity, has no weights.
RESNET_NAMES = [
    (r'conv1\.conv1_([123])\.(conv|norm)\.(\w+)', lambda found: f'stem.{_stem_index(found)}.{found[3]}'),
    (
        r'res_layers\.(\d)\.blocks\.(\d+)\.branch2([abc])\.(conv|norm)\.(\w+)',
        lambda found: _block(found) + f'{dict(conv="conv", norm="bn")[found[4]]}{"abc".index(found[3]) + 1}.{found[5]}',
    ),
    (
        r'res_layers\.(\d)\.blocks\.(\d+)\.short\.(?:conv\.)?(conv|norm)\.(\w+)',
        lambda found: _block(found) + f'downsample.{dict(conv=1, norm=2)[found[3]]}.{found[4]}',
    ),
]

# No weights: rtdetrv2_pytorch stores constants that depend on the size of its input.
COMPUTED = {'decoder.anchors': 'anchors are computed', 'decoder.valid_mask': 'anchors are computed'}


# RT-DETRv2's factor of each point's offset; Hugging Face calls it n_points_scale.
POINTS_SCALE = re.compile(r'.*\.n(um)?_points_scale')
INPUT_CONV = re.compile(r'(?:model\.)?(?:conv_encoder\.)?encoder[._]input_proj\.(\d+)\.')
NUM_LEVELS = 3  # of all released models but D-FINE-N and DEIMv2's


def count_levels(weights: Mapping[str, Tensor]) -> int:
    """Return the number of levels, by the encoder's convolutions ``input_proj.<i>``; a lite encoder adds one."""
    return len({found[1] for found in map(INPUT_CONV.match, weights) if found}) + is_lite(weights) or NUM_LEVELS


def points_of_levels(weights: Mapping[str, Tensor]) -> list[int] | None:
    """Return the number of points on each level, by the factors of RT-DETRv2's offsets; None if there are no factors.

    Raises:
        ValueError: If factors are not 1/n for each of n points of a level, or the layers have different ones.
    """
    found, num_levels = None, count_levels(weights)
    for key in filter(POINTS_SCALE.fullmatch, weights):
        points = [round(1 / max(1e-3, factor)) for factor in weights[key].flatten().tolist()]
        levels: list[int] = []
        for _ in range(num_levels):
            levels += points[sum(levels) : sum(levels) + 1]
        expected = torch.tensor([1 / count for count in levels for _ in range(count)])
        factors = weights[key].flatten().float()
        if len(levels) < num_levels or factors.shape != expected.shape or not torch.allclose(factors, expected):
            raise ValueError(f'{key!r} is not 1/n for each of n points on each of {num_levels} levels')
        if found not in (None, levels):
            raise ValueError(f'{key!r} is of {levels} points on the levels, in the layer before it is of {found}')
        found = levels
    return found


def computed_factors(weights: Mapping[str, Tensor]) -> dict[str, str]:
    """Return the names of RT-DETRv2's factors of offsets, with the reason why they are left out.

    Their values are for :func:`points_of_levels` to check.
    """
    return dict.fromkeys(filter(POINTS_SCALE.fullmatch, weights), 'one divided by the number of points is computed')


def _stem_index(found: re.Match) -> int:
    return 3 * (int(found[1]) - 1) + dict(conv=0, norm=1)[found[2]]


def _block(found: re.Match) -> str:
    return f'layer{int(found[1]) + 1}.{found[2]}.'


def resnet_from_authors(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights of PResNet, variant d; raises ValueError if there are others."""
    renamed = {}
    for key, value in weights.items():
        for pattern, name in RESNET_NAMES:
            if found := re.fullmatch(pattern, key):
                renamed['backbone.' + name(found)] = value
                break
        else:
            raise ValueError(f'{key!r} is neither a weight of PResNet, variant d, nor of SpaRTAN')
    return renamed


def rtdetr_from_authors(weights: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Rename a state dict of rtdetr_pytorch, rtdetrv2_pytorch, D-FINE, DEIM or DEIMv2.

    Returns:
        tuple[dict[str, Tensor], dict[str, str]]: Weights with the names of this package, and the reason for each name
        that is left out.

    Raises:
        ValueError: If a weight does not belong to one of these, or the backbone is DINOv3.
    """
    left_out = {key: reason for key, reason in COMPUTED.items() if key in weights}
    left_out |= computed_factors(weights) | computed_settings(weights)
    backbone, others = {}, {}
    for key, value in weights.items():
        if key.startswith('backbone.'):
            backbone[key.removeprefix('backbone.')] = value
        elif key not in left_out:
            others[key] = value
    if any(key.startswith('dinov3.') for key in backbone):
        raise ValueError('a DEIMv2 with DINOv3; those with HGNetV2 can be converted: Atto, Femto, Pico and N')
    converters = {'res_layers.': resnet_from_authors, 'stem.': hgnet_from_authors, 'stages.': hgnet_from_authors}
    found = {prefix for prefix in converters if any(key.startswith(prefix) for key in backbone)}
    convert = converters[min(found)] if found else spartan_from_authors
    return {**convert(backbone), **encoder_and_decoder(others)}, left_out


def encoder_and_decoder(weights: Mapping[str, Tensor], sources: Mapping[str, str] = {}) -> dict[str, Tensor]:
    """Rename all weights but the backbone's.

    Args:
        weights: Weights with the names of rtdetr_pytorch.
        sources: Names for error messages, where they differ from those in ``weights``.

    Raises:
        ValueError: If a weight does not belong to RT-DETR.
    """
    layers = (re.match(r'decoder\.decoder\.layers\.(\d+)', key) for key in weights)
    num_layers = 1 + max((int(found[1]) for found in layers if found), default=-1)
    if is_deimv2(weights):
        sources = {rename(key): sources.get(key, key) for key in weights}
        weights = with_all_branches({rename(key): value for key, value in weights.items()}, num_layers)
    renamed = {}
    for key, value in weights.items():
        name = _rename(key, sources.get(key, key)).replace('{last}', str(num_layers))
        if name in renamed:  # the heads of the last layer and of query selection coincide
            raise ValueError(
                f'{sources.get(key, key)!r} belongs to a decoder layer that is missing; found {num_layers}'
            )
        renamed[name] = value
    return split_csp_convs(renamed) if is_deimv2(renamed) else renamed


def _rename(key: str, source: str) -> str:
    for pattern, replacement in NAMES.items():
        if match := re.fullmatch(pattern, key):
            name = match.expand(replacement).replace('{last}', '99')
            for inner, new in INNER_NAMES:
                name = re.sub(inner, new, name)
            return name.replace('branches.99', 'branches.{last}')
    raise ValueError(f'{source!r} is not a weight of RT-DETR, D-FINE or DEIMv2')


# Heads of the decoder's attention in all released models.
NUM_HEADS = 8


def rtdetr_options(
    weights: Mapping[str, Tensor],
    points: list[int] | None = None,
    method: str = 'default',
    activation: str = 'relu',
    edges: Mapping[str, float] = {},
) -> dict[str, Any]:
    """Return the options that turn ``configs/_base_/models/rtdetr.py``, or ``dfine.py``, into the model of weights.

    The numbers of attention heads and of queries cannot be derived from the weights; released models have 8 and 300.
    With 8 heads, the weights show the number of sampling points, if it is the same on each level.

    Args:
        weights: Weights with the names of this package.
        points: Number of points on each level, see :func:`points_of_levels`.
        method: How the decoder samples, ``'default'`` or ``'discrete'``.
        activation: ``'relu'``, or ``'silu'`` as in DEIM, in decoder and head.
        edges: Settings of D-FINE's distributions, see :func:`~mmspartan.convert.dfine.edge_settings`.

    Raises:
        ValueError: If the backbone is neither SpaRTAN, nor HGNetV2, nor ResNet-vd of depth 18, 34, 50 or 101, or a
            weight is missing.
    """
    num_inputs = count(weights, 'neck.input_convs.') or NUM_LEVELS
    num_levels = num_inputs + is_lite(weights)
    inputs = [shape_of(weights, f'neck.input_convs.{i}.conv.weight') for i in range(num_inputs)]
    hidden = inputs[0][0]
    embed_dims = shape_of(weights, 'bbox_head.cls_branches.0.weight')[1]
    neck: dict[str, Any] = dict(in_channels=[channels for _, channels, *_ in inputs], hidden_channels=hidden)
    if not is_lite(weights):
        neck.update(feedforward_channels=shape_of(weights, 'neck.aifi.layers.0.ffn.layers.0.0.weight')[0])
    sampling: dict[str, Any] = dict(embed_dims=embed_dims)
    first_layer = 'w12' if is_deimv2(weights) else 'layers.0.0'
    feedforward: dict[str, Any] = dict(
        embed_dims=embed_dims, feedforward_channels=shape_of(weights, f'decoder.layers.0.ffn.{first_layer}.weight')[0]
    )
    decoder: dict[str, Any] = dict(
        num_layers=count(weights, 'decoder.layers.'),
        layer_cfg=dict(self_attn_cfg=dict(embed_dims=embed_dims), cross_attn_cfg=sampling, ffn_cfg=feedforward),
    )
    head: dict[str, Any] = dict(
        num_classes=shape_of(weights, 'bbox_head.cls_branches.0.weight')[0], embed_dims=embed_dims
    )
    options: dict[str, Any] = dict(
        backbone=_backbone_options(weights, num_inputs), neck=neck, decoder=decoder, bbox_head=head
    )

    total = shape_of(weights, 'decoder.layers.0.cross_attn.attention_weights.weight')[0] // NUM_HEADS
    if points is not None and len(set(points)) > 1:
        sampling['num_points'] = points
    elif total != 4 * num_levels or is_dfine(weights):
        sampling['num_points'] = total // num_levels
    if method != 'default':
        sampling['method'] = method
    if num_levels != NUM_LEVELS:
        options['num_levels'] = sampling['num_levels'] = num_levels
    if hidden != embed_dims:
        options['in_channels'] = hidden
    if (num_layers := count(weights, 'decoder.query_pos_head.layers.')) > 2:
        decoder['num_query_pos_layers'] = num_layers
    if activation == 'silu':
        for part in (decoder, head) if is_deimv2(weights) else (decoder, head, feedforward):
            part['act_cfg'] = dict(type='SiLU')
    if not is_dfine(weights):
        neck['expansion'] = shape_of(weights, 'neck.top_down_blocks.0.conv1.conv.weight')[0] / hidden
        return options
    if points is None or edges.keys() != {'up', 'reg_scale'}:
        raise ValueError('not a whole D-FINE: it has settings num_points_scale of each layer, up and reg_scale')
    neck.update(encoder_options(weights, hidden))
    head.update(type='DFINEHead', distribution=dict(scale=edges['reg_scale']))
    if not is_deimv2(weights):
        return dict(type='DFINE', **options)
    neck.update(type='LiteEncoder' if is_lite(weights) else 'DEIMv2Encoder')
    if not any('.gate.proj.' in key for key in weights):
        decoder['layer_cfg']['gated'] = False
    if shares_branches(weights, decoder['num_layers']):
        head['share_reg_branches'] = True
    return dict(type='DEIMv2', **options)


def _backbone_options(weights: Mapping[str, Tensor], num_levels: int) -> dict[str, Any]:
    indices = (2,) if is_lite(weights) else tuple(range(4 - num_levels, 4))
    if any(key.startswith('backbone.patch_embeds.') for key in weights):
        return dict(type='SpaRTAN', **spartan_options(weights), out_indices=indices)
    if any(key.startswith('backbone.net.') for key in weights):
        return dict(hgnet_options(weights), **({} if num_levels == NUM_LEVELS else dict(out_indices=indices)))
    return dict(type='ResNetVD', depth=_resnet_depth(weights), out_indices=indices)


def _resnet_depth(weights: Mapping[str, Tensor]) -> int:
    found = [re.match(r'backbone\.layer(\d)\.(\d+)\.conv1\.weight', key) for key in weights]
    stages = [int(match[1]) for match in found if match]
    blocks, bottleneck = [stages.count(i) for i in (1, 2, 3, 4)], 'backbone.layer1.0.conv3.weight' in weights
    known = {18: ([2, 2, 2, 2], False), 34: ([3, 4, 6, 3], False), 50: ([3, 4, 6, 3], True), 101: ([3, 4, 23, 3], True)}
    for depth, kind in known.items():
        if kind == (blocks, bottleneck):
            return depth
    raise ValueError(f'a ResNet-vd with {blocks} blocks is none of depth {", ".join(map(str, known))}')
