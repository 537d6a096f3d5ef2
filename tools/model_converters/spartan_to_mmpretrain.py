"""Convert weights of the SpaRTAN authors' implementation to mmpretrain's ImageClassifier, or back with ``--reverse``.

The variant is derived from the tensors. No code from SRC is executed, and DST is written atomically.
"""

import argparse
import shlex

from mmspartan_cli import parse, require_path


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('src', help=".pth or .safetensors; the authors' checkpoint or a bare state dict")
    parser.add_argument('dst', help='file to write')
    parser.add_argument(
        '--task', choices=['cls', 'backbone'], default='cls', help='a whole classifier, or its backbone alone'
    )
    parser.add_argument(
        '--classes', metavar='FILE', help="names of the classes, one a line; ImageNet's for 1000 classes by default"
    )
    parser.add_argument('--reverse', action='store_true', help="convert from mmpretrain to the authors' names")
    parser.add_argument('--write-config', metavar='FILE', help='also write a config that builds the model')
    args = parse(parser)
    require_path(args.src)
    return args


if __name__ == '__main__':
    args = parse_args()  # before the imports that take seconds

from mmengine.registry import MODELS

from mmspartan import config_path
from mmspartan.commands.command import blame, command
from mmspartan.convert.classes import numbered_class_names, read_class_names
from mmspartan.convert.config_file import write_config
from mmspartan.convert.files import check_target, fit_exactly, read_weights, write_checkpoint, write_whole
from mmspartan.convert.spartan import spartan_from_authors, spartan_options, spartan_to_authors


def describe(options: dict, num_classes: int | None) -> str:
    """Describe the variant and how to build it."""
    arch, others = options['arch'], {f'backbone.{key}': value for key, value in options.items() if key != 'arch'}
    name = arch if isinstance(arch, str) else 't'
    overrides = dict(others)
    if not isinstance(arch, str):
        overrides['backbone.arch._delete_'] = True
        overrides.update({f'backbone.arch.{key}': value for key, value in arch.items()})
        overrides['head.in_channels'] = arch['channels'][-1]
    if num_classes not in (None, 1000):
        overrides['head.num_classes'] = num_classes
    lines = [f'SpaRTAN {arch}, ' + (f'{num_classes} classes' if num_classes else 'no classifier')]
    lines.append(f'config: {config_path(f"spartan_{name}_in1k")}')
    if overrides:
        settings = (f'model.{key}={value}'.replace(' ', '') for key, value in overrides.items())
        lines.append('with:   --cfg-options ' + ' '.join(map(shlex.quote, settings)))
    return '\n'.join(lines)


def convert(args) -> None:
    check_target(args.dst, args.src)
    weights, entry = read_weights(args.src)
    if any(key.startswith(('encoder.', 'decoder.', 'neck.')) for key in weights):
        raise ValueError('a detector; see rtdetr_to_mmdet.py')
    if any(key.startswith(('backbone.stages.', 'stages.')) for key in weights) != args.reverse:
        raise ValueError('not in our names' if args.reverse else 'in our names already; see --reverse')
    ours = weights if args.reverse else spartan_from_authors(weights)
    if not any(key.startswith('backbone.') for key in ours):
        ours = {f'backbone.{key}': value for key, value in ours.items()}
    options = spartan_options(ours)
    backbone = {key.removeprefix('backbone.'): value for key, value in ours.items() if key.startswith('backbone.')}
    head = {key: value for key, value in ours.items() if not key.startswith('backbone.')}
    backbone = fit_exactly(MODELS.build(dict(type='SpaRTAN', **options)), backbone, args.src)
    num_classes = check_head(head, len(backbone['patch_embeds.3.conv.weight']), args.src)
    if args.classes and (args.reverse or args.task == 'backbone' or not num_classes):
        raise ValueError(f'--classes {args.classes}: only a converted classifier has names of classes')
    if args.write_config and (args.reverse or args.task == 'backbone' or not num_classes):
        raise ValueError(f'--write-config {args.write_config}: only a converted classifier has a config')
    classes = default_names(num_classes)
    if args.classes and num_classes:
        classes = read_class_names(args.classes, num_classes)

    print(f'{args.src}{entry and f" ({entry})"}: {describe(options, num_classes)}')
    ours = {**{f'backbone.{key}': value for key, value in backbone.items()}, **head}
    if args.reverse:
        if args.task == 'backbone':
            ours = {key: value for key, value in ours.items() if key not in head}
        write_whole(args.dst, dict(model=spartan_to_authors(ours)))
    elif args.task == 'backbone':
        for key in head:
            print(f'left out: {key}, the classifier')
        write_checkpoint(args.dst, backbone)
        print(f"use:    backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='{args.dst}'))")
    else:
        if classes:
            print(f'classes: {", ".join(classes[:3])}{", ..." if len(classes) > 3 else ""}')
        write_checkpoint(args.dst, ours, classes)
    if args.write_config:
        arch = options['arch']
        model = dict(
            backbone=options,
            head=dict(num_classes=num_classes, in_channels=len(backbone['patch_embeds.3.conv.weight'])),
            data_preprocessor=dict(num_classes=num_classes),
        )
        name = f'spartan_{arch if isinstance(arch, str) else "t"}_in1k'
        write_config(args.write_config, name, model, f'{args.src}, converted to {args.dst}.')
        print(f'written: {args.write_config}')
    print(f'written: {args.dst}')


def default_names(num_classes: int | None) -> list[str] | None:
    """Return ImageNet's class names for 1000 classes, numbers for others, and None without a classifier."""
    if num_classes != 1000:
        return numbered_class_names(num_classes) if num_classes else None
    try:
        from mmpretrain.datasets.categories import IMAGENET_CATEGORIES
    except ImportError:  # with mmpretrain, the dataset of this package's configs has these names
        return None
    return list(IMAGENET_CATEGORIES)


def check_head(head: dict, channels: int, source: str) -> int | None:
    """Return the number of classes of a linear classifier; None without a classifier."""
    if not head:
        return None
    shapes = {key: tuple(value.shape) for key, value in head.items()}
    classes = (*shapes.get('head.fc.bias', ()), 0)[0]
    if not classes or shapes != {'head.fc.weight': (classes, channels), 'head.fc.bias': (classes,)}:
        first = ', '.join(list(shapes)[:3])
        raise ValueError(f'{source}: {first} are not a linear classifier over {channels} channels')
    return classes


@command()
def main(args: argparse.Namespace) -> None:
    with blame(args.src, because='its tensors do not make up a model: '):
        convert(args)


if __name__ == '__main__':
    main(args)
