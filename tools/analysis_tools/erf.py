"""Draw effective receptive fields of the branches of SMixers (Sec. III-B): ``erf.py CONFIG CKPT IMAGE ... --out FILE``.

For the last SMixer of each stage: how much the features and the pixels around it change the high-frequency and the
low-frequency branch at the central position, on a logarithmic scale, in the mean of the images. Squares, and the
printed numbers, hold 50 % and 95 % of the squared derivatives.
"""

import argparse
from pathlib import Path

from mmspartan_cli import build_subject_parser, parse_subjects


def parse_args():
    parser = build_subject_parser(__doc__)
    parser.add_argument('--out', type=Path, required=True, help='image to write')
    parser.add_argument('--stage', type=int, nargs='+', help='stages, from 1; all by default')
    parser.add_argument('--size', type=int, help='side of the input in pixels; as the model is tested by default')
    parser.add_argument('--probes', type=int, default=16, help='random combinations of channels for fields in pixels')
    return parse_subjects(parser)


if __name__ == '__main__':
    args = parse_args()  # before the imports that take seconds

from mmengine.utils import track_iter_progress

from mmspartan.analysis.blocks import stages_of
from mmspartan.analysis.command_line import load_subjects
from mmspartan.analysis.receptive_field import Field, draw_fields, fields_of_stage, side_of_share
from mmspartan.commands.command import command
from mmspartan.errors import InputError


def add(total: dict[tuple[str, str], Field], fields: dict[tuple[str, str], Field]) -> None:
    """Add the energy of fields to those of another image."""
    for key, field in fields.items():
        if key in total and total[key].energy.shape != field.energy.shape:
            raise InputError('the images become inputs of several sizes: give --size')
        total[key] = Field(total[key].energy + field.energy, field.center) if key in total else field


@command()
def main(args: argparse.Namespace) -> None:
    if args.size is not None and args.size < 32:
        raise InputError(f'--size {args.size}: must be at least 32 pixels')
    if args.probes < 1:
        raise InputError(f'--probes {args.probes}: must be at least 1')
    images, subjects = args.image, load_subjects(args)
    tasks = [
        (f'{subject.name}\nstage {stage}' if args.compare else f'stage {stage}', subject, stage, path)
        for subject in subjects
        for stage in args.stage or range(1, 1 + len(stages_of(subject)))
        for path in images
    ]
    rows: dict[str, dict[tuple[str, str], Field]] = {}
    for title, subject, stage, path in track_iter_progress(tasks):
        add(
            rows.setdefault(title, {}),
            fields_of_stage(subject, subject.read(path), stage, args.probes, args.size),
        )
    args.out.parent.mkdir(parents=True, exist_ok=True)
    draw_fields(rows, args.out)
    print()
    for title, fields in rows.items():
        for (branch, unit), field in fields.items():
            sides = [side_of_share(field.energy, field.center, share) for share in (0.5, 0.95)]
            name = title.replace('\n', ', ')
            print(f'{name}, {branch}: 50 % in {sides[0]} x {sides[0]}, 95 % in {sides[1]} x {sides[1]} {unit}')
    print(args.out)


if __name__ == '__main__':
    main(args)
