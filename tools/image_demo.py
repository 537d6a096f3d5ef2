"""Detect in images, a video, a stream or a camera: ``python tools/image_demo.py INPUT CONFIG CHECKPOINT``.

INPUT is an image, a folder of images with its sub-folders, a video, the address of a stream (``rtsp://``, ``http://``),
or the number of a camera. Images with boxes go to ``OUT/vis``, detections to ``OUT/preds`` as one JSON file an image.
For a video the results are one video and one JSON file with a list of frames. Hidden files of a folder are left out.

Of boxes with an IoU of 0.7 or more, whatever their classes, the one with the highest score is drawn; the JSON files
have all. ``--slice SIZE`` finds small objects in large images: it detects in overlapping parts as well as in the whole
image.
"""

import argparse
import json
import os
import signal
import sys
from collections import Counter
from itertools import count, islice
from pathlib import Path

from mmspartan_cli import is_hidden, parse, printable, shown
from mmspartan_cli.choices import IMAGE_SUFFIXES


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('input', help='image, folder of images, video, address of a stream, or number of a camera')
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint, or file of tools/export_onnx.py')
    parser.add_argument(
        '--out-dir', type=Path, default=Path('outputs'), help='folder for images and detections, %(default)s'
    )
    parser.add_argument(
        '--score-thr',
        action='append',
        default=[],
        metavar='[CLASS=]SCORE',
        help='lowest score that is drawn, 0.3 by default, or once for each class; tools/evaluate.py prints the best',
    )
    parser.add_argument('--bits', type=int, choices=range(8, 17), help='of a value of 16-bit images')
    parser.add_argument('--batch-size', type=int, default=1, help='images, or with --slice parts, at once; %(default)s')
    parser.add_argument('--slice', type=int, help='also detect in parts of this width and height in pixels')
    parser.add_argument(
        '--overlap', type=float, default=0.2, help='of neighbouring parts, relative to their size; %(default)s'
    )
    parser.add_argument('--max-frames', type=int, help='of a video, stream or camera; Ctrl-C ends them as well')
    parser.add_argument('--device', help='cuda:0, cpu, ...; a GPU by default, if there is one')
    args = parse(parser, 'checkpoint')
    if '://' not in args.input and not (args.input.isdecimal() or os.path.exists(args.input)):
        raise SystemExit(f'{shown(args.input)}: no such image, folder or video')
    return args


if __name__ == '__main__':
    args = parse_args()  # before the imports that take seconds

import numpy as np
import torch
from mmengine.logging import MMLogger
from mmengine.utils import ProgressBar
from PIL import Image

from mmspartan.commands.command import blame, command
from mmspartan.commands.launch import read_config
from mmspartan.datasets.prepare.source import DATASET_SUFFIXES
from mmspartan.errors import InputError
from mmspartan.inference import Detector
from mmspartan.inference.detector import SCORE_THR
from mmspartan.inference.video import VIDEO_SUFFIXES, Frames, VideoResults, is_live
from mmspartan.runs.screen import filter_screen

MOST = sys.maxsize  # of a counter


def check_options(args: argparse.Namespace) -> None:
    for option, value, is_valid, valid in (
        ('batch-size', args.batch_size, 1 <= args.batch_size <= MOST, f'from 1 to {MOST}'),
        ('slice', args.slice, args.slice is None or args.slice >= 32, 'at least 32 pixels'),
        ('overlap', args.overlap, 0 <= args.overlap < 1, 'at least 0 and less than 1'),
        ('max-frames', args.max_frames, args.max_frames is None or 1 <= args.max_frames <= MOST, f'from 1 to {MOST}'),
    ):
        if not is_valid:
            raise InputError(f'--{option} {value}: must be {valid}')
    args.score_thr = thresholds_of(args.score_thr)
    try:
        torch.device(args.device or 'cpu')
    except RuntimeError as error:
        raise InputError(f'--device {args.device!r}: is none: {str(error).partition(chr(10))[0]}') from error


def thresholds_of(given: list[str]) -> dict[str, float]:
    """Return the lowest scores by the names of classes, '' for all others."""
    found = {'': SCORE_THR}
    for text in given:
        name, _, value = text.rpartition('=')
        try:
            found[name] = float(value)
        except ValueError:
            raise InputError(f'--score-thr {shown(text)}: must be a number, or CLASS=NUMBER') from None
        if not 0 <= found[name] <= 1:
            raise InputError(f'--score-thr {shown(text)}: must be from 0 to 1')
    return found


def image_suffixes() -> set[str]:
    """Return the endings of images: of the formats that Pillow reads, and of those that a data set may have."""
    of_pillow = {suffix for suffix, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    return (of_pillow | DATASET_SUFFIXES) - set(VIDEO_SUFFIXES)


def images_below(source: Path, out_dir: Path) -> tuple[list[Path], list[Path], list[Path]]:
    """Return the images of a folder and its sub-folders, its other files, and its hidden images.

    The results are left out.
    """
    root, results, suffixes = Path(os.path.realpath(source)), Path(os.path.realpath(out_dir)), image_suffixes()
    seen = sorted(source.rglob('*'))
    seen = [path for path in seen if results not in (root / path.relative_to(source)).parents]
    below = [path for path in seen if not is_hidden(path, source)]
    named = [path for path in below if path.suffix.lower() in suffixes]
    hidden = [path for path in seen if path.suffix.lower() in suffixes and is_hidden(path, source)]
    images = [path for path in named if not path.is_dir()]
    inside = {*named, *(path for path in below if path.is_symlink() or not path.is_dir())}  # links are not followed
    if not images:
        raise InputError(f'{source}: no image in it, {len(inside)} other files; hidden ones are left out')
    return images, sorted(inside - set(images)), hidden


def names_of(images: list[Path], folder: Path) -> list[tuple[Path, Path]]:
    """Return the names of each image's JSON file and drawn image, so that no two images share one."""
    below = [path.relative_to(folder) for path in images]
    counts = Counter(path.with_suffix('') for path in below)
    taken: set[Path] = set()
    names = []
    for path in below:
        stem = path.with_suffix('')
        json_name = free_name(Path(f'{stem if counts[stem] == 1 else path}.json'), taken)
        drawn_name = free_name(path if path.suffix.lower() in IMAGE_SUFFIXES else Path(f'{path}.jpg'), taken)
        names.append((json_name, drawn_name))
    return names


def free_name(path: Path, taken: set[Path]) -> Path:
    """Return a path that is not taken, with a number before its ending if it has to be, and take it."""
    free = next(name for i in count() if (name := path.with_stem(f'{path.stem}_{i}') if i else path) not in taken)
    taken.add(free)
    return free


def detect_in_images(detector: Detector, images: list[Path], folder: Path, args) -> tuple[list[np.ndarray], list[str]]:
    """Write ``vis/NAME`` and ``preds/NAME.json`` for each image; return scores and what is unreadable."""
    found, unreadable, size = [], [], args.batch_size if args.slice is None else 1
    progress = ProgressBar(len(images))
    pairs = iter(zip(images, names_of(images, folder)))
    while batch := list(islice(pairs, size)):
        readable = []
        for path, names in batch:
            try:
                readable.append((detector.inferencer.read(path), names))
            except InputError as error:
                unreadable.append(str(error))
        results = detector.detect([image for image, _ in readable], args.batch_size) if readable else []
        for detections, (_, (json_name, drawn_name)) in zip(results, readable):
            detections.save(args.out_dir / 'vis' / drawn_name)
            target = args.out_dir / 'preds' / json_name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(json.dumps(detections.every), encoding='utf-8')
            found.append(detections.scores)
        for _ in batch:
            progress.update()
    return found, unreadable


def detect_in_video(detector: Detector, frames: Frames, args) -> tuple[list[np.ndarray], list[str]]:
    """Write ``vis/NAME.mp4`` and ``preds/NAME.json``; return the scores and what is wrong with the video."""
    found = []
    total = min(frames.total or args.max_frames or 0, args.max_frames or frames.total)
    progress = ProgressBar(total)
    # a camera is ended by Ctrl-C, which ends other runs in a line
    handler = signal.signal(signal.SIGINT, signal.default_int_handler) if is_live(args.input) else None
    with VideoResults(args.out_dir, frames.name, frames.fps) as results:
        try:
            for frame in islice(frames, args.max_frames):
                detections = detector(frame)
                results.write(detections.drawn(), detections.every)
                found.append(detections.scores)
                progress.update()
        except KeyboardInterrupt:
            if handler is None:
                raise
        finally:
            if handler is not None:
                signal.signal(signal.SIGINT, handler)
    if not frames.total and not is_live(args.input):
        print(f'\n{shown(args.input)}: does not say how many frames it has: {len(found)} could be read')
    is_ended = is_live(args.input) or len(found) == args.max_frames
    return found, [frames.problem] if frames.problem and not (found and is_ended) else []


def summary(found: list[np.ndarray], score_thr: dict[str, float], kind: str) -> str:
    """Return a sentence on how many objects are drawn; ``found`` has the scores of each image."""
    of_classes = [f'{value:g} for {name}, ' for name, value in score_thr.items() if name]
    least = ''.join(of_classes) + f'{score_thr[""]:g}' + ' for others' * bool(of_classes)
    line = f'\n{sum(map(len, found))} objects with a score of at least {least} in {len(found)} {kind}'
    return line if any(map(len, found)) else f'{line}; lower --score-thr to see more'


@command()
def main(args: argparse.Namespace) -> None:
    check_options(args)
    source, is_video = Path(args.input), is_live(args.input) or Path(args.input).suffix.lower() in VIDEO_SUFFIXES
    images, others, hidden = [source], list[Path](), list[Path]()
    if not (is_live(args.input) or source.is_file() or source.is_dir()):
        raise InputError(f'{args.input}: neither a file nor a folder')
    if source.is_dir():
        images, others, hidden = images_below(source, args.out_dir)
    cfg = read_config(args.config)
    with blame(args.config, cfg):
        if 'bbox_head' not in cfg.get('model', {}):
            raise InputError(
                f'{args.config}: not a detector; for classifiers use mmpretrain.ImageClassificationInferencer'
            )
        frames = Frames(args.input) if is_video else None  # before the detector is built
        filter_screen(MMLogger.get_current_instance())
        detector = Detector(
            args.config, args.checkpoint, args.device, args.score_thr, args.slice, args.overlap, args.bits
        )
    if frames:
        found, problems = detect_in_video(detector, frames, args)
    else:
        found, problems = detect_in_images(detector, images, source if source.is_dir() else source.parent, args)
    if found:
        print(summary(found, args.score_thr, 'frames' if is_video else 'images'))
        print(f'\nwritten to {printable(str(args.out_dir))}')
    for paths, what in (
        (others, 'not read, since they are no images by their names, links to folders, or videos, which go alone'),
        (hidden, 'not read, since they are hidden'),
    ):
        if paths:
            listed = ', '.join(printable(str(path)) for path in paths[:5]) + (', ...' if len(paths) > 5 else '')
            print(f'{len(paths)} {what}: {listed}')
    if problems and source.is_file() and not is_video and source.suffix.lower() not in image_suffixes():
        problems = [f'{problems[0]}; videos end with {", ".join(VIDEO_SUFFIXES)}']
    if problems:
        problems = [printable(problem) for problem in problems]
        sys.exit('\n'.join(['left out:', *problems] if source.is_dir() else problems))


if __name__ == '__main__':
    main(args)
