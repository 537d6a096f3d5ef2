"""Make a detection dataset of your own ready to train on: check it, convert it, report on it and write a config.

Reads COCO, Pascal VOC, YOLO, labelme, VIA, CVAT's XML, Label Studio's JSON and Supervisely; the format is found out.
Images stay where they are.
"""

import argparse
import os
from functools import partial
from pathlib import Path

from mmspartan_cli import parse, printable, require_base, require_file, require_path, sibling_command


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'source', type=Path, nargs='+', help='folder of the dataset, annotation file, data.yaml or classes.txt'
    )
    parser.add_argument('--out', type=Path, required=True, help='folder to write, which must not exist')
    parser.add_argument('--pictures', type=Path, help='folder of the images, if they are elsewhere')
    parser.add_argument('--val', type=float, default=0.2, help='share of the images to validate with, if not split')
    parser.add_argument('--seed', type=int, default=0, help='of the division')
    parser.add_argument(
        '--whole-folders',
        action='store_true',
        help='divide folders, as of cameras or days, instead of images, of which bursts would be in both sets',
    )
    parser.add_argument(
        '--like',
        type=Path,
        metavar='FOLDER',
        help='keep the division of this earlier --out, and divide only images that it does not have',
    )
    parser.add_argument(
        '--split-by',
        choices=('folders', 'names', 'nothing'),
        default='folders',
        help='what names the split of an image: folders and annotation files; names of images as well; nothing',
    )
    parser.add_argument(
        '--box-format',
        metavar='FORMAT',
        help='convention of the boxes, found out by default: xywh, xyxy, xywh-shares or xyxy-shares of COCO, from-1 or '
        'from-0 of VOC, polygon or track of YOLO (lines of six values)',
    )
    parser.add_argument(
        '--box-orientation',
        choices=('upright', 'stored'),
        help='what boxes of photographs with an EXIF orientation refer to, where their size does not tell it',
    )
    parser.add_argument('--attribute', help='attribute that holds the class, of VIA')
    parser.add_argument('--bits', type=int, choices=range(8, 17), help='of a value of 16-bit images; needs --copy')
    parser.add_argument(
        '--unlabelled',
        choices=('empty', 'skip'),
        help='images without an annotation file: images without objects, as is guessed by default, or left out',
    )
    parser.add_argument('--classes', nargs='+', help='classes to keep, in this order; all by default')
    parser.add_argument('--rename', nargs='+', default=[], metavar='OLD=NEW', help='other names of classes')
    parser.add_argument('--copy', action='store_true', help='copy the images into the folder')
    parser.add_argument('--strict', action='store_true', help='refuse a dataset that has a fault or needs a guess')
    parser.add_argument(
        '--base', help='config of a detector of this package; by default the one recommended for this machine'
    )
    parser.add_argument('--weights', type=Path, help='checkpoint of --base to start from')
    parser.add_argument(
        '--image-size',
        type=int,
        nargs=2,
        metavar=('WIDTH', 'HEIGHT'),
        help="the base's by default; recommended with the base on a CPU",
    )
    parser.add_argument(
        '--max-epochs',
        type=int,
        help='by default as many as make 10,000 iterations, on a CPU of eight images, from 20 to 100',
    )
    parser.add_argument(
        '--batch-size', type=int, help="of a GPU; by default the base's or, on a CPU, 4, if there are so many images"
    )
    parser.add_argument('--no-plan', action='store_true', help='do not measure how long the training takes here')
    args = parse(parser)
    if not 0 < args.val < 1:
        parser.error(f'--val must be between 0 and 1, got {args.val}')
    if args.bits and not args.copy:
        parser.error('--bits converts copies of the images: give --copy as well')
    for pair in args.rename:
        if not all(map(str.strip, pair.partition('=')[::2])):
            parser.error(f'--rename needs OLD=NEW, got {pair!r}')
    for source in args.source:
        require_path(str(source))
    if args.like:
        require_file(str(args.like / 'config.py'), '--like')
    if args.pictures:
        require_path(str(args.pictures), '--pictures')
    if args.weights:
        require_file(str(args.weights), '--weights')
    if args.base:
        require_base(args.base)
    if os.path.lexists(args.out):
        raise SystemExit(printable(f'{args.out}: exists; remove it or give another --out'))
    return args


if __name__ == '__main__':
    args = parse_args()  # before the imports that take seconds

from mmengine.config import Config
from rich.progress import track

import mmspartan
from mmspartan.benchmark.training_plan import default_epochs, plan_of
from mmspartan.commands.command import blame, command
from mmspartan.commands.launch import size_of_test_images
from mmspartan.datasets.prepare.classes import check_similar_names, choose_classes, rename_classes
from mmspartan.datasets.prepare.clean import clean
from mmspartan.datasets.prepare.divide import Division, divide
from mmspartan.datasets.prepare.faults import Faults
from mmspartan.datasets.prepare.folder import Prepared, write_folder
from mmspartan.datasets.prepare.read import read_sources
from mmspartan.datasets.prepare.recommend import CPU_BASE, recommend
from mmspartan.datasets.prepare.report import Report, advice_of, printed, tables_of
from mmspartan.datasets.prepare.source import Choices
from mmspartan.datasets.prepare.statistics import statistics_of
from mmspartan.datasets.prepare.training_config import Training, start_of
from mmspartan.errors import InputError
from mmspartan.runs.long_work import announced


def name_of(sources: list[Path]) -> str:
    return ', '.join(map(str, sources))


@command()
def main(args: argparse.Namespace) -> None:
    with blame(name_of(args.source)):
        prepare(args)


def prepare(args: argparse.Namespace) -> None:
    if printable(path := os.path.realpath(args.out)) != path or not {'"', '\\'}.isdisjoint(path):
        raise InputError(f'--out {args.out}: quotation marks, backslashes and line breaks in its path break the config')
    for option, number in (('--max-epochs', args.max_epochs), ('--batch-size', args.batch_size)):
        if number is not None and number < 1:
            raise InputError(f'{option} must be at least 1, got {number}')
    if args.weights and not args.base:
        raise InputError('--weights: give the --base of which they are, too')
    if args.base:
        detector(args.base)
    size = args.image_size and tuple(args.image_size)
    if size and any(side <= 0 or side % 32 for side in size):
        raise InputError(f'--image-size must be multiples of 32, got {size[0]} x {size[1]}')
    faults = Faults()
    choices = Choices(args.split_by, args.box_format, args.attribute, args.box_orientation, args.unlabelled, args.bits)
    source, root = read_sources(args.source, faults, args.pictures, choices)
    total = len({sample.path for samples in source.splits.values() for sample in samples})
    name = printable(name_of(args.source))
    print(f'{name}: {printable(source.format)}, {total} images')
    progress = partial(track, description='Reading the images', transient=True)
    files = clean(source, faults, lambda items, count: progress(items, total=count), choices)
    rename_classes(source, args.rename, faults)
    check_similar_names(source, faults)
    choose_classes(source, args.classes, faults)
    division = Division(args.val, args.seed, args.whole_folders, args.like)
    digests = {path: file.digest for path, file in files.items()}
    sentence = divide(source, digests, division, faults, name)
    reason, found = '', recommend(source.splits['train'], size)
    count, batch_size = len(source.splits['train']), None
    if args.batch_size and args.batch_size > count:
        raise InputError(f'--batch-size {args.batch_size}: there are {count} training images')
    if args.base in (None, found.base):
        size, batch_size = found.image_size, found.batch_size
    if not args.base:
        args.base = found.base
        reason = f'This base is recommended: {found.reason}. --base chooses another.'
    base = detector(args.base)
    size = size or tuple(reversed(size_of_test_images(base, '--image-size')))
    statistics = {split: statistics_of(samples, size) for split, samples in source.splits.items()}
    queries = base.model.num_queries
    tables = tables_of(statistics, source.classes, faults, size, queries)
    advice = advice_of(statistics, source.classes, size, queries)
    print(printed(tables))
    print('\n'.join(['', sentence, *advice]))
    if args.strict and faults.refused():
        raise InputError(f'{name}: has the faults or guesses listed above, nothing was written (--strict)')
    whole = base.train_dataloader.batch_size
    batch_size = args.batch_size or min(batch_size or whole, 1 << count.bit_length() - 1)
    # on a CPU smaller batches are for more steps, not for fewer epochs
    epochs = args.max_epochs or default_epochs(count, whole if args.base == CPU_BASE else batch_size)
    dataset = Prepared(source, root, digests, name_of(args.source))
    training = Training(args.base, size, epochs, batch_size, args.weights)
    report = Report([f'{name}: {printable(source.format)}. {sentence}'], tables, advice)
    copied = write_folder(args.out, dataset, training, report, faults, copy=args.copy, bits=args.bits, seed=args.seed)
    print(f'\nwritten to {args.out}: config.py, annotation files, report.html, faults.csv{copied}.')
    config = Config.fromfile(args.out / 'config.py')
    print(f'\nPlan: {args.base}, {size[0]} x {size[1]} pixels, {batch_size} images a batch, from {start_of(config)}')
    print(reason, end='\n' * bool(reason))
    if not args.no_plan:
        with announced('Measuring steps of each stage of the training, within a minute'):
            plan = plan_of(config, count, len(source.splits['val']))
        print('\n'.join(plan))
    print('Look at the report, then train:')
    print(f'    {sibling_command("train.py", str(args.out / "config.py"), "--auto-scale-lr")}')


def detector(name: str) -> Config:
    """Return the config of a detector of this package; raises InputError if it is of another task."""
    base = Config.fromfile(mmspartan.config_path(name))
    if base.model.get('bbox_head') is None:
        raise InputError(f'--base: {name} is no detector')
    return base


if __name__ == '__main__':
    main(args)
