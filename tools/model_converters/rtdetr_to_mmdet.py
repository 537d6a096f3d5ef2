"""Convert checkpoints of RT-DETR and RT-DETRv2 (the authors' .pth, or Hugging Face's folders) to MMDetection.

The variant is derived from the tensors, but for discrete sampling (_dsp), which they do not show. Each tensor is used,
or listed with the reason for leaving it out. No code from SRC is executed, and DST is written atomically.
"""

import argparse
import json
import re
from pathlib import Path

from mmspartan_cli import parse, require_path
from mmspartan_cli.choices import METHODS


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('src', help=".pth or .safetensors file, or Hugging Face's folder")
    parser.add_argument('dst', help='file to write')
    parser.add_argument('--classes', metavar='FILE', help='names of the classes, one a line')
    parser.add_argument(
        '--method',
        choices=METHODS,
        help='how a network of RT-DETRv2 samples; by default as config.json of Hugging Face says, else discrete if the '
        'name of SRC contains _dsp',
    )
    parser.add_argument('--write-config', metavar='FILE', help='also write a config that builds the model')
    args = parse(parser)
    require_path(args.src)
    return args


if __name__ == '__main__':
    args = parse_args()  # before the imports that take seconds

from mmdet.evaluation import coco_classes
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from mmspartan import config_path
from mmspartan.commands.command import blame, command
from mmspartan.convert import (
    check_target,
    fit_exactly,
    numbered_class_names,
    points_of_levels,
    read_class_names,
    read_weights,
    rtdetr_from_authors,
    rtdetr_from_hugging_face,
    rtdetr_options,
    write_checkpoint,
    write_config,
)

RESNETS = ('r18vd', 'r34vd', 'r50vd', 'r50vd_m', 'r101vd')
CONFIGS = tuple(f'rtdetr_{name}_coco' for name in ('spartan_xt', 'spartan_t', *RESNETS))
# those with discrete sampling last, since they fit other networks too; there is none of R101
CONFIGS_V2 = tuple(f'rtdetrv2_{name}_coco' for name in (*RESNETS, *(f'{name}_dsp' for name in RESNETS[:-1])))


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
    anything = {**options, 'bbox_head': {'embed_dims': options['bbox_head']['embed_dims']}}
    return next((name for name in names if fits(Config.fromfile(config_path(name)).model, anything)), None)


def describe(options: dict, version: str, name: str | None) -> str:
    """Describe the variant and how to build it, by the config ``name`` if there is one."""
    num_classes = options['bbox_head']['num_classes']
    head = f'{version}, {options["backbone"]["type"]}, {num_classes} classes'
    if name is not None:
        extra = '' if num_classes == 80 else f'\nwith:   model.bbox_head.num_classes={num_classes}'
        return f'{head}\nconfig: {config_path(name)}{extra}'
    return (
        f'{head}\nno config of this package fits: --write-config writes one; on configs/_base_/models/rtdetr.py set\n'
        f'model = {options}'
    )


# Settings that the weights do not show, with the values of this package's models.
EXPECTED = dict(
    encoder_attention_heads=8,
    decoder_attention_heads=8,
    decoder_offset_scale=0.5,
    num_feature_levels=3,
    activation_function='silu',
    encoder_activation_function='gelu',
    decoder_activation_function='relu',
    positional_encoding_temperature=10000,
    normalize_before=False,
    learn_initial_query=False,
)


def hugging_face_config(src: Path) -> dict:
    """Read ``config.json`` beside the weights; {} if there is none.

    Raises:
        ValueError: If it cannot be read, or a setting that the weights do not show differs from this package's models.
    """
    path = (src if src.is_dir() else src.parent) / 'config.json'
    if not path.is_file():
        return {}
    try:
        config = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f'{path}: not JSON: {error}') from error
    if not isinstance(config, dict):
        raise ValueError(f"{path}: not a model's config")
    for key, value in EXPECTED.items():
        if config.get(key, value) != value:
            raise ValueError(f'{path}: {key} is {config[key]!r}; models of this package have {value!r}')
    return config


def sampling_method(args: argparse.Namespace, config: dict, is_version_2: bool) -> tuple[str, str]:
    """Return how the network samples, and what says so.

    Raises:
        ValueError: If Hugging Face's config names another method than ``--method``, or an unknown one.
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


def default_names(config: dict, num_classes: int) -> list[str]:
    """Return the class names of Hugging Face's config; else COCO's names for 80 classes, or numbers."""
    names = config.get('id2label') or {}
    if isinstance(names, dict) and set(names) == {str(i) for i in range(num_classes)}:
        return [str(names[str(i)]) for i in range(num_classes)]
    return list(coco_classes()) if num_classes == 80 else numbered_class_names(num_classes)


def convert(args) -> None:
    check_target(args.dst, args.src)
    source, entry = read_weights(args.src)
    is_hugging_face = any(key.startswith('model.backbone.') for key in source)
    weights, left_out = (rtdetr_from_hugging_face if is_hugging_face else rtdetr_from_authors)(source)
    config = hugging_face_config(Path(args.src)) if is_hugging_face else {}
    points = points_of_levels(source)
    version = 'RT-DETR' if points is None else 'RT-DETRv2'
    method, reason = sampling_method(args, config, points is not None)
    options = rtdetr_options(weights, points, method)
    if config.get('num_queries', 300) != 300:
        options.update(num_queries=config['num_queries'], test_cfg=dict(max_per_img=config['num_queries']))
    name = fitting_config(options, CONFIGS if points is None and method == 'default' else CONFIGS_V2)
    num_classes = options['bbox_head']['num_classes']
    classes = read_class_names(args.classes, num_classes) if args.classes else default_names(config, num_classes)
    cfg = Config.fromfile(config_path('_base_/models/rtdetr'))
    cfg.merge_from_dict(dict(model=options))
    with DefaultScope.overwrite_default_scope('mmdet'):
        weights = fit_exactly(MODELS.build(cfg.model), weights, args.src)

    print(f'{args.src}{entry and f" ({entry})"}: {describe(options, version, name)}')
    print(f'sampling: {method} ({reason})')
    print(f'{len(source) - len(left_out)} of {len(source)} tensors used')
    for key, why in left_out.items():
        print(f'left out: {key}: {why}')
    print(f'classes: {", ".join(classes[:3])}{", ..." if len(classes) > 3 else ""}')
    write_checkpoint(args.dst, weights, classes)
    if args.write_config:
        write_config(args.write_config, name or 'rtdetr_spartan_t_coco', options, args.src, args.dst)
        print(f'written: {args.write_config}')
    print(f'written: {args.dst}')


@command()
def main(args: argparse.Namespace) -> None:
    with blame(args.src, because='its tensors do not make up a model: '):
        convert(args)


if __name__ == '__main__':
    main(args)
