"""RT-DETR's checkpoints (rtdetr_pytorch, or a folder of Hugging Face's RTDetrForObjectDetection) to MMDetection.

The variant is read off the tensors; each of them is used, or listed with the reason why not. Nothing of SRC is run; DST
is written whole or not at all.
"""

import argparse
import json
from pathlib import Path

from mmdet.evaluation import coco_classes
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from mmspartan import config_path
from mmspartan.convert import (
    fit_exactly,
    read_weights,
    rtdetr_from_authors,
    rtdetr_from_hugging_face,
    rtdetr_options,
    write_checkpoint,
)

CONFIGS = ('spartan_xt', 'spartan_t', 'r18vd', 'r34vd', 'r50vd', 'r101vd')


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('src', help=".pth or .safetensors file, or Hugging Face's folder")
    parser.add_argument('dst', help='file to write')
    return parser.parse_args()


def fits(config: dict, options: dict) -> bool:
    """Whether a config has all that the weights ask for; it may have more."""
    return all(
        fits(config[key], value)
        if isinstance(value, dict) and isinstance(config.get(key), dict)
        else config.get(key) == value
        for key, value in options.items()
    )


def describe(options: dict) -> str:
    """The variant, and how to build it."""
    num_classes = options['bbox_head']['num_classes']
    anything = {**options, 'bbox_head': {'embed_dims': options['bbox_head']['embed_dims']}}
    head = f'RT-DETR, {options["backbone"]["type"]}, {num_classes} classes'
    for name in CONFIGS:
        path = config_path(f'rtdetr_{name}_coco')
        if fits(Config.fromfile(path).model, anything):
            extra = '' if num_classes == 80 else f'\nwith:   model.bbox_head.num_classes={num_classes}'
            return f'{head}\nconfig: {path}{extra}'
    return f'{head}\nno config of this package fits; on configs/_base_/models/rtdetr.py set\nmodel = {options}'


def class_names(src: Path, num_classes: int) -> list[str] | None:
    """From Hugging Face's config.json; COCO's for 80 classes."""
    if (src / 'config.json').is_file():
        names = json.loads((src / 'config.json').read_text()).get('id2label', {})
        if len(names) == num_classes:
            return [names[str(i)] for i in range(num_classes)]
    return list(coco_classes()) if num_classes == 80 else None


def convert(args) -> None:
    source, place = read_weights(args.src)
    is_hugging_face = any(key.startswith('model.backbone.') for key in source)
    weights, left_out = (rtdetr_from_hugging_face if is_hugging_face else rtdetr_from_authors)(source)
    options = rtdetr_options(weights)
    cfg = Config.fromfile(config_path('_base_/models/rtdetr'))
    cfg.merge_from_dict(dict(model=options))
    with DefaultScope.overwrite_default_scope('mmdet'):
        weights = fit_exactly(MODELS.build(cfg.model), weights, args.src)

    print(f'{args.src}{place and f" ({place})"}: {describe(options)}')
    print(f'{len(source) - len(left_out)} of {len(source)} tensors used')
    for key, reason in left_out.items():
        print(f'left out: {key}: {reason}')
    write_checkpoint(args.dst, weights, class_names(Path(args.src), options['bbox_head']['num_classes']))
    print(f'written: {args.dst}')


def main():
    try:
        convert(parse_args())
    except ValueError as error:
        raise SystemExit(str(error)) from None


if __name__ == '__main__':
    main()
