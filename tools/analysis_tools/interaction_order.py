"""Draw the strength of interactions of each order (Fig. 1a): ``interaction_order.py CONFIG CKPT IMAGE ... --out FILE``.

For classifiers, after Deng et al., arXiv 2111.06236: how much two neighbouring patches of an image add together to
what each adds alone, while a share of the other patches is shown. The band is the standard deviation over images. All
models get the same pairs and the same contexts. With few contexts the curve is flatter, since noise adds to strengths.
"""

import argparse
from pathlib import Path

from mmspartan_cli import build_subject_parser, parse_subjects

SHARES = [k / 10 for k in range(11)]


def parse_args():
    parser = build_subject_parser(__doc__)
    parser.add_argument('--out', type=Path, required=True, help='image to write')
    parser.add_argument('--grid', type=int, default=16, help='patches in a row and in a column')
    parser.add_argument('--shares', type=float, nargs='+', default=SHARES, help='of the other patches in a context')
    parser.add_argument('--pairs', type=int, default=50, help='pairs of neighbouring patches in each image')
    parser.add_argument('--contexts', type=int, default=100, help='random contexts for each pair and order')
    parser.add_argument('--batch-size', type=int, default=256)
    return parse_subjects(parser)


if __name__ == '__main__':
    args = parse_args()  # before the imports that take seconds

import torch
from mmengine.utils import track_iter_progress

from mmspartan.analysis.command_line import load_subjects
from mmspartan.analysis.interaction import LogOdds, draw_strengths, strengths
from mmspartan.commands.command import command
from mmspartan.errors import InputError


@command()
def main(args: argparse.Namespace) -> None:
    for option in ('pairs', 'contexts', 'batch_size'):
        if getattr(args, option) < 1:
            raise InputError(f'--{option.replace("_", "-")} {getattr(args, option)}: must be at least 1')
    for share in args.shares:
        if not 0 <= share <= 1:
            raise InputError(f'--shares {share:g}: must be from 0 to 1')
    images, subjects = args.image, load_subjects(args)
    orders = [round(share * (args.grid**2 - 2)) for share in args.shares]
    found: dict[str, list[torch.Tensor]] = {}
    tasks = [(subject, seed, path) for seed, path in enumerate(images) for subject in subjects]
    for subject, seed, path in track_iter_progress(tasks):
        value = LogOdds(subject, subject.read(path), args.grid, args.batch_size)
        found.setdefault(subject.name, []).append(strengths(value, args.grid, orders, args.pairs, args.contexts, seed))
    curves = {name: torch.stack(values) / torch.stack(values).mean() for name, values in found.items()}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    draw_strengths(curves, args.shares, args.out)
    print()
    for name, values in curves.items():
        line = ', '.join(f'{share:g}: {strength:.2f}' for share, strength in zip(args.shares, values.mean(0).tolist()))
        print(f'{name}: {line}')
    print(args.out)


if __name__ == '__main__':
    main(args)
