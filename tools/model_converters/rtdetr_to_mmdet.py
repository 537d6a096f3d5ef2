"""Convert checkpoints of RT-DETR, RT-DETRv2, D-FINE, DEIM and DEIMv2 (the authors' .pth, or Hugging Face's folders).

The variant is derived from the tensors, but for discrete sampling (_dsp) and DEIM's activations, which they do not
show. Each tensor is used, or listed with the reason for leaving it out. A file of D-FINE's backbone, HGNetV2, becomes
one for init_cfg. No code from SRC is executed, and DST is written atomically.
"""

import argparse
import copy
import re
from pathlib import Path

from mmspartan_cli import parse, require_path
from mmspartan_cli.choices import ACTIVATIONS, METHODS


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('src', help=".pth or .safetensors file, or Hugging Face's folder")
    parser.add_argument('dst', help='file to write')
    parser.add_argument('--classes', metavar='FILE', help='names of the classes, one a line')
    parser.add_argument(
        '--method',
        choices=METHODS,
        help='how a network samples, other than RT-DETR; by default as config.json of Hugging Face says, else discrete '
        'if the name of SRC contains _dsp',
    )
    parser.add_argument(
        '--activation',
        choices=ACTIVATIONS,
        help='activation in decoder and head; by default silu if the weights or the name of SRC are those of DEIM',
    )
    parser.add_argument('--write-config', metavar='FILE', help='also write a config that builds the model')
    args = parse(parser)
    require_path(args.src)
    return args


if __name__ == '__main__':
    args = parse_args()  # before the imports that take seconds

from mmdet.datasets import Objects365V2Dataset
from mmdet.evaluation import coco_classes
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from mmspartan import config_path, list_configs
from mmspartan.commands.command import blame, command
from mmspartan.convert.classes import numbered_class_names, read_class_names
from mmspartan.convert.config_file import write_config
from mmspartan.convert.deimv2 import is_deimv2
from mmspartan.convert.dfine import edge_settings, is_dfine
from mmspartan.convert.files import check_target, fit_exactly, read_weights, write_checkpoint
from mmspartan.convert.hf_config import read_hugging_face_config
from mmspartan.convert.hgnet import hgnet_from_authors, hgnet_options, is_hgnet
from mmspartan.convert.rtdetr import count_levels, points_of_levels, rtdetr_from_authors, rtdetr_options
from mmspartan.convert.rtdetr_hf import rtdetr_from_hugging_face

RESNETS = ('r18vd', 'r34vd', 'r50vd', 'r50vd_m', 'r101vd')
CONFIGS = tuple(f'rtdetr_{name}_coco' for name in ('spartan_xt', 'spartan_t', *RESNETS))
# those with discrete sampling last, since they fit other networks too; there is none of R101
CONFIGS_V2 = tuple(f'rtdetrv2_{name}_coco' for name in (*RESNETS, *(f'{name}_dsp' for name in RESNETS[:-1])))


def candidates(version: str, method: str, activation: str) -> tuple[str, ...]:
    """Return the names of the configs that may build the model."""
    if version == 'DEIMv2':
        return tuple(name for name in list_configs() if name.startswith('deimv2_'))
    if activation == 'relu' and version != 'D-FINE':
        return CONFIGS if version == 'RT-DETR' and method == 'default' else CONFIGS_V2
    prefix = 'dfine_' if activation == 'relu' else 'deim_'
    return tuple(name for name in list_configs() if name.startswith(prefix))


def fits(config: dict, options: dict) -> bool:
    """Whether a config has all of these options; it may have more."""
    return all(
        fits(config[key], value)
        if isinstance(value, dict) and isinstance(config.get(key), dict)
        else config.get(key) == value
        for key, value in options.items()
    )


def fitting_config(options: dict, names: tuple[str, ...]) -> str | None:
    """Return the first config that builds the model with another number of classes; None if there is none."""
    head = {key: value for key, value in options['bbox_head'].items() if key != 'num_classes'}
    anything = {**options, 'bbox_head': head}
    return next((name for name in names if fits(Config.fromfile(config_path(name)).model, anything)), None)


def version_of(weights: dict, points: list[int] | None) -> str:
    """Return the name of the detector with these weights, by their names and the numbers of points on the levels."""
    if is_deimv2(weights):
        return 'DEIMv2'
    return 'D-FINE' if is_dfine(weights) else 'RT-DETR' if points is None else 'RT-DETRv2'


def base_configs(version: str, options: dict) -> tuple[str, str]:
    """Return the config on which the options build the model, and the one from which a written config inherits."""
    if version == 'DEIMv2':
        name = f'deimv2_hgnetv2_{"pico" if options["neck"]["type"] == "LiteEncoder" else "n"}_coco'
        return name, name
    kind = 'dfine' if version == 'D-FINE' else 'rtdetr'
    return f'_base_/models/{kind}', f'{kind}_spartan_t_coco'


def describe(options: dict, version: str, name: str | None, base: str) -> str:
    """Describe the variant and how to build it, by the config ``name``, or if there is none on ``base``."""
    num_classes = options['bbox_head']['num_classes']
    head = f'{version}, {options["backbone"]["type"]}, {num_classes} classes'
    if name is not None:
        extra = '' if num_classes == 80 else f'\nwith:   model.bbox_head.num_classes={num_classes}'
        return f'{head}\nconfig: {config_path(name)}{extra}'
    return (
        f'{head}\nno config of this package fits: --write-config writes one; on configs/{base}.py set\n'
        f'model = {options}'
    )


def sampling_method(args: argparse.Namespace, config: dict, is_version_2: bool) -> tuple[str, str]:
    """Return how the network samples, and what says so.

    Raises ValueError if Hugging Face's config names another method than ``--method``, or an unknown one.
    """
    stated = config.get('decoder_method')
    if stated not in (None, *METHODS):
        raise ValueError(f'config.json: decoder_method is {stated!r}; models of this package have one of {METHODS}')
    if stated and args.method not in (None, stated):
        raise ValueError(f'config.json: decoder_method is {stated!r}, --method is {args.method!r}')
    if stated or args.method:
        return stated or args.method, 'config.json says so' if stated else '--method says so'
    if not is_version_2:
        return 'default', 'RT-DETR has no other'
    if re.search(r'[_-]dsp\d*([_-]|$)', Path(args.src).stem):
        return 'discrete', 'the name of the file has dsp, the weights do not show it; otherwise give --method default'
    return 'default', 'the weights do not show it; for a network with discrete sampling (_dsp) give --method discrete'


def decoder_activation(args: argparse.Namespace, version: str, is_hugging_face: bool, is_deim: bool) -> tuple[str, str]:
    """Return the activation in decoder and head, and what says so.

    ``is_deim`` tells whether the weights show a network of DEIM; if not, it may be one still. Raises ValueError if
    ``--activation`` is not that of DEIMv2's or Hugging Face's models.
    """
    if version == 'DEIMv2':
        if args.activation == 'relu':
            raise ValueError("--activation is 'relu'; networks of DEIMv2 have 'silu'")
        return 'silu', 'networks of DEIMv2 have no other'
    if is_hugging_face:
        if args.activation == 'silu':
            raise ValueError("--activation is 'silu'; models of Hugging Face have 'relu'")
        return 'relu', 'models of Hugging Face have no other'
    if args.activation:
        return args.activation, '--activation says so'
    if is_deim:
        return 'silu', 'three layers for the positions of queries, as DEIM has'
    if not re.search(r'(^|[_-])deim([_-]|$)', Path(args.src).stem.lower()):
        return 'relu', 'the weights do not show it; for a network of DEIM give --activation silu'
    if 'obj2coco' in Path(args.src).stem.lower():
        return 'relu', "DEIM's network of Objects365 has it; otherwise give --activation silu"
    return 'silu', 'the name of the file has deim, the weights do not show it; otherwise give --activation relu'


def default_names(config: dict, num_classes: int) -> list[str]:
    """Return the class names of Hugging Face's config; else COCO's for 80 outputs, Objects365's for 366, or numbers."""
    names = config.get('id2label') or {}
    if isinstance(names, dict) and set(names) == {str(i) for i in range(num_classes)}:
        return [str(names[str(i)]) for i in range(num_classes)]
    if num_classes == 366:  # the categories' ids, which start at 1
        return [*numbered_class_names(1), *Objects365V2Dataset.METAINFO['classes']]
    return list(coco_classes()) if num_classes == 80 else numbered_class_names(num_classes)


def convert_backbone(args: argparse.Namespace, source: dict) -> None:
    """Write the weights of HGNetV2 for the ``init_cfg`` of a backbone."""
    for option in ('classes', 'method', 'activation', 'write_config'):
        if getattr(args, option):
            raise ValueError(f'--{option.replace("_", "-")}: SRC is a backbone, without decoder and classes')
    weights = hgnet_from_authors(source)
    options = hgnet_options(weights)
    backbone = {key.removeprefix('backbone.'): value for key, value in weights.items()}
    backbone = fit_exactly(MODELS.build(options), backbone, args.src)
    print(f'{args.src}: HGNetV2 {options["arch"]}, a backbone')
    write_checkpoint(args.dst, {f'backbone.{key}': value for key, value in backbone.items()})
    print(f"use:     backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='{args.dst}', prefix='backbone.'))")
    print(f'written: {args.dst}')


def convert(args) -> None:
    check_target(args.dst, args.src)
    source, entry = read_weights(args.src)
    if is_hgnet(source):
        convert_backbone(args, source)
        return
    is_hugging_face = any(key.startswith(('model.backbone.', 'model.conv_encoder.')) for key in source)
    weights, left_out = (rtdetr_from_hugging_face if is_hugging_face else rtdetr_from_authors)(source)
    config = read_hugging_face_config(Path(args.src), count_levels(source)) if is_hugging_face else {}
    points = points_of_levels(source)
    version = version_of(weights, points)
    method, reason = sampling_method(args, config, points is not None)
    is_deim = any(key.startswith('decoder.query_pos_head.layers.2.') for key in weights)
    activation, why_activation = decoder_activation(args, version, is_hugging_face, is_deim)
    options = rtdetr_options(weights, points, method, activation, edge_settings(source))
    if version == 'DEIMv2' and 'num_queries' in config:
        options.update(num_queries=config['num_queries'])
    elif config.get('num_queries', 300) != 300:
        options.update(num_queries=config['num_queries'], test_cfg=dict(max_per_img=config['num_queries']))
    name = fitting_config(options, candidates(version, method, activation))
    num_classes = options['bbox_head']['num_classes']
    classes = read_class_names(args.classes, num_classes) if args.classes else default_names(config, num_classes)
    base, parent = base_configs(version, options)
    cfg = Config.fromfile(config_path(base))
    cfg.merge_from_dict(dict(model=copy.deepcopy(options)))
    with DefaultScope.overwrite_default_scope('mmdet'):
        weights = fit_exactly(MODELS.build(cfg.model), weights, args.src)

    print(f'{args.src}{entry and f" ({entry})"}: {describe(options, version, name, base)}')
    print(f'sampling: {method} ({reason})')
    print(f'activation: {activation} ({why_activation})')
    print(f'{len(source) - len(left_out)} of {len(source)} tensors used')
    for key, why in left_out.items():
        print(f'left out: {key}: {why}')
    print(f'classes: {", ".join(classes[:3])}{", ..." if len(classes) > 3 else ""}')
    write_checkpoint(args.dst, weights, classes)
    if args.write_config:
        if name:  # it has the backbone, with settings for training
            del options['backbone']
        write_config(args.write_config, name or parent, options, f'{args.src}, converted to {args.dst}.')
        print(f'written: {args.write_config}')
    print(f'written: {args.dst}')


@command()
def main(args: argparse.Namespace) -> None:
    with blame(args.src, because='its tensors do not make up a model: '):
        convert(args)


if __name__ == '__main__':
    main(args)
