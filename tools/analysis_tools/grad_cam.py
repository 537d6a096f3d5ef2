"""Draw Grad-CAM maps of classifiers and detectors (the paper's Fig. 5 and 6): ``grad_cam.py CONFIG CKPT IMAGE ...``.

For each image a sheet with the maps of one or several models side by side, and a row for each class of
``--category``. A classifier's map is of the class that it predicts, a detector's of all its detections. Needs
pytorch-grad-cam: ``pip install --no-deps grad-cam ttach``.
"""

import argparse
from collections import Counter
from pathlib import Path

from mmspartan_cli import build_subject_parser, parse_subjects


def parse_args():
    parser = build_subject_parser(__doc__)
    parser.add_argument('--out', type=Path, required=True, help='folder for the sheets')
    parser.add_argument('--stride', type=int, nargs='+', help="of the features; the backbone's outputs by default")
    parser.add_argument('--category', nargs='+', help='names or numbers of classes')
    parser.add_argument('--score-thr', type=float, default=0.3, help='lowest score of a detection that counts')
    return parse_subjects(parser)


if __name__ == '__main__':
    args = parse_args()  # before the imports that take seconds

from mmengine.utils import track_iter_progress

from mmspartan.analysis.command_line import load_subjects
from mmspartan.analysis.grad_cam import draw_sheet, grad_cam
from mmspartan.analysis.layers import layers_of_strides
from mmspartan.commands.command import command
from mmspartan.errors import InputError


@command()
def main(args: argparse.Namespace) -> None:
    for name, count in Counter(path.stem for path in args.image).items():
        if count > 1:
            raise InputError(
                f'{name}: {count} images have this name, and their sheets would be one file; call '
                'once for each, with another --out'
            )
    subjects = load_subjects(args)
    names = args.category or (None,)
    categories = [[None if name is None else subject.category(name) for subject in subjects] for name in names]
    args.out.mkdir(parents=True, exist_ok=True)
    for path in track_iter_progress(args.image):
        examples = [subject.read(path) for subject in subjects]
        layers = [layers_of_strides(subject, example, args.stride) for subject, example in zip(subjects, examples)]
        cams = [
            [grad_cam(*each, args.score_thr) for each in zip(subjects, examples, layers, row)] for row in categories
        ]
        draw_sheet(subjects, examples, cams, args.out / f'{path.stem}.jpg')
    print(f'\n{args.out}: {len(args.image)} sheets')


if __name__ == '__main__':
    main(args)
