"""Draw the waves of a CMixer for one image (the paper's Fig. 4): ``waves.py CONFIG CKPT IMAGE --out FILE``.

Above, all waves of one position as vectors in the complex plane, before superposition, after it, and after modulation
by the complex weights. Below, amplitude and phase of the strongest waves at all positions, after the same steps.
"""

import argparse
from pathlib import Path

from mmspartan_cli import build_subject_parser, parse, require_path


def parse_args():
    parser = build_subject_parser(__doc__, compare=False)
    parser.add_argument('--out', type=Path, required=True, help='image to write')
    parser.add_argument('--stage', type=int, default=1, help='of the CMixer, from 1')
    parser.add_argument('--block', type=int, default=1, help='of the CMixer in its stage, from 1')
    parser.add_argument(
        '--at', type=int, nargs=2, metavar=('X', 'Y'), help='pixel of the input; where the waves are largest by default'
    )
    parser.add_argument('--count', type=int, default=3, help='waves that are drawn at all positions')
    args = parse(parser, 'checkpoint')
    require_path(args.image)
    return args


if __name__ == '__main__':
    args = parse_args()  # before the imports that take seconds

from mmspartan.analysis.command_line import load_subject
from mmspartan.analysis.waves import draw_waves, position_of, waves
from mmspartan.commands.command import command
from mmspartan.errors import InputError


@command()
def main(args: argparse.Namespace) -> None:
    subject = load_subject(args.config, args.checkpoint, args.device)
    example = subject.read(args.image)
    steps = waves(subject, example, args.stage, args.block)
    if not 1 <= args.count <= len(steps['wave']):
        raise InputError(f'--count {args.count}: this CMixer has 1 to {len(steps["wave"])} waves')
    position = position_of(steps, example, args.at)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    title = f'{subject.name}, stage {args.stage}, block {args.block}'
    draw_waves(steps, position, example, title, args.count, args.out)
    for name, values in steps.items():
        print(f'{name:10} mean amplitude {values.abs().mean():.3g}, largest {values.abs().max():.3g}')
    print(args.out)


if __name__ == '__main__':
    main(args)
