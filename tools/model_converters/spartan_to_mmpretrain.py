"""Weights of the SpaRTAN authors' implementation to mmpretrain's ImageClassifier, or back with ``--reverse``.

The variant is read off the tensors. Nothing of SRC is run; DST is written whole or not at all.
"""

import argparse

from mmengine.registry import MODELS

from mmspartan import config_path
from mmspartan.convert import (
    fit_exactly,
    read_weights,
    spartan_from_authors,
    spartan_options,
    spartan_to_authors,
    write_checkpoint,
    write_whole,
)


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('src', help=".pth or .safetensors; the authors' checkpoint or a bare state dict")
    parser.add_argument('dst', help='file to write')
    parser.add_argument(
        '--task', choices=['cls', 'backbone'], default='cls', help='a whole classifier, or its backbone alone'
    )
    parser.add_argument('--reverse', action='store_true', help="from ours to the authors' names")
    return parser.parse_args()


def describe(options: dict, num_classes: int | None) -> str:
    """The variant, and how to build it."""
    overrides = {f'model.backbone.{key}': value for key, value in options.items() if key != 'arch'}
    if isinstance(options['arch'], str):
        config = config_path(f'spartan_{options["arch"]}_in1k')
    else:
        config = config_path('spartan_t_in1k')
        overrides['model.backbone.arch'] = dict(options['arch'], _delete_=True)
        overrides['model.head.in_channels'] = options['arch']['channels'][-1]
    if num_classes not in (None, 1000):
        overrides['model.head.num_classes'] = num_classes
    lines = [f'SpaRTAN {options["arch"]}, ' + (f'{num_classes} classes' if num_classes else 'no classifier')]
    lines.append(f'config: {config}')
    if overrides:
        lines.append('with:   --cfg-options ' + ' '.join(f'{key}="{value}"' for key, value in overrides.items()))
    return '\n'.join(lines)


def convert(args) -> None:
    weights, place = read_weights(args.src)
    ours = weights if args.reverse else spartan_from_authors(weights)
    if not any(key.startswith('backbone.') for key in ours):
        ours = {f'backbone.{key}': value for key, value in ours.items()}
    options = spartan_options(ours)
    backbone = {key.removeprefix('backbone.'): value for key, value in ours.items() if key.startswith('backbone.')}
    head = {key: value for key, value in ours.items() if not key.startswith('backbone.')}
    backbone = fit_exactly(MODELS.build(dict(type='SpaRTAN', **options)), backbone, args.src)
    num_classes = check_head(head, len(backbone['patch_embeds.3.conv.weight']), args.src)

    print(f'{args.src}{place and f" ({place})"}: {describe(options, num_classes)}')
    ours = {**{f'backbone.{key}': value for key, value in backbone.items()}, **head}
    if args.reverse:
        write_whole(args.dst, dict(model=spartan_to_authors(ours)))
    elif args.task == 'backbone':
        for key in head:
            print(f'left out: {key}, the classifier')
        write_checkpoint(args.dst, backbone)
        print(f"use:    backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='{args.dst}'))")
    else:
        write_checkpoint(args.dst, ours)
    print(f'written: {args.dst}')


def check_head(head: dict, channels: int, source: str) -> int | None:
    """Number of classes; None without a classifier."""
    if not head:
        return None
    shapes = {key: tuple(value.shape) for key, value in head.items()}
    classes = shapes.get('head.fc.bias', (0,))[0]
    if shapes != {'head.fc.weight': (classes, channels), 'head.fc.bias': (classes,)}:
        raise ValueError(f'{source}: {shapes} is not a linear classifier over {channels} channels')
    return classes


def main():
    try:
        convert(parse_args())
    except ValueError as error:
        raise SystemExit(str(error)) from None


if __name__ == '__main__':
    main()
