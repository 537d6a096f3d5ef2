"""Make a detection dataset of your own ready to train on: check it, convert it, report on it and write a config.

Reads COCO, Pascal VOC, YOLO, labelme, VIA, CVAT's XML, Label Studio's JSON and Supervisely; the format is found out.
Images stay where they are.
"""

import argparse
import itertools
import os
import shlex
import shutil
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
from mmspartan.checkpoints.pretrained import pretrained_settings
from mmspartan.commands.command import blame, command
from mmspartan.commands.launch import size_of_test_images
from mmspartan.datasets.prepare.clean import check_similar_names, clean
from mmspartan.datasets.prepare.divide import Division, divide
from mmspartan.datasets.prepare.faults import Faults
from mmspartan.datasets.prepare.plan import default_epochs, plan_of
from mmspartan.datasets.prepare.read import read_sources
from mmspartan.datasets.prepare.recommend import CPU_BASE, recommend
from mmspartan.datasets.prepare.report import advice_of, drawn, page, printed, tables_of
from mmspartan.datasets.prepare.source import Choices, Source
from mmspartan.datasets.prepare.statistics import statistics_of
from mmspartan.datasets.prepare.write import (
    coco_of,
    copy_images,
    literal,
    names_in_place,
    relative_to,
    write_annotations,
)
from mmspartan.errors import InputError
from mmspartan.runs.long_work import announced

CONFIG = """\
# Written by tools/prepare_dataset.py from {source}. Train with
#     python tools/train.py {config} --auto-scale-lr
_base_ = __import__('mmspartan').config_path({base})
work_dir = {work_dir}

locals().update(
    __import__('mmspartan').own_data(
        _base_,
        root="{{{{ fileDirname }}}}",
        classes={classes},
        train=('train.json', {train}),
        val=('val.json', {val}),{test}
        image_size={image_size},  # width, height
        max_epochs={max_epochs},
        batch_size={batch_size},
        weights={weights},
    )
)
"""


def rename_classes(source: Source, pairs: list[str], faults: Faults) -> None:
    names = dict(pair.split('=', 1) for pair in pairs)
    unknown = [name for name in names if name not in source.classes]
    if unknown:
        raise InputError(f'--rename: no class is called {", ".join(unknown)}; there are {", ".join(source.classes)}')
    source.classes = list(dict.fromkeys(names.get(name, name) for name in source.classes))
    for samples in source.splits.values():
        for sample in samples:
            for item in sample.objects:
                item.name = names.get(item.name, item.name)
    for old, new in names.items():
        faults.note(f'class is called {new} by --rename', old)


def choose_classes(source: Source, chosen: list[str] | None, faults: Faults) -> None:
    if chosen is None:
        return
    unknown = [name for name in chosen if name not in source.classes]
    if unknown:
        raise InputError(f'--classes: no class is called {", ".join(unknown)}; there are {", ".join(source.classes)}')
    source.classes = list(dict.fromkeys(chosen))
    kept = set(chosen)
    for samples in source.splits.values():
        for sample in samples:
            others = [item for item in sample.objects if item.name not in kept]
            faults.note('object is of a class that --classes leaves out', *(item.where for item in others))
            sample.objects = [item for item in sample.objects if item.name in kept]


def config_text(args: argparse.Namespace, source: Source, folders: dict[str, str], size: tuple[int, int]) -> str:
    test = f"\n        test=('test.json', {literal(folders['test'])})," if 'test' in folders else ''
    return CONFIG.format(
        source=literal(name_of(args.source)),
        config=literal(shlex.quote((args.out / 'config.py').as_posix()))[1:-1],
        base=literal(args.base),
        work_dir=literal(f'work_dirs/{args.out.name}'),
        classes=literal(tuple(source.classes)),
        train=literal(folders['train']),
        val=literal(folders['val']),
        test=test,
        image_size=size,
        max_epochs=args.max_epochs,
        batch_size=args.batch_size,
        weights=weights_text(args.weights, args.out),
    )


def name_of(sources: list[Path]) -> str:
    return ', '.join(map(str, sources))


def weights_text(weights: Path | None, out: Path) -> str:
    """Return the text of a checkpoint's path in the config, as seen from the config's folder."""
    if weights is None:
        return 'None'
    path = relative_to(weights, out)
    return literal(path) if os.path.isabs(path) else f'"{{{{ fileDirname }}}}/" + {literal(path)}'


def check_config(path: Path, source: Source, folders: dict[str, str]) -> None:
    """Read the config back, and raise InputError unless the names of the dataset come out of it as they are."""
    cfg = Config.fromfile(path)
    for split, folder in folders.items():
        dataset = cfg[f'{split}_dataloader'].dataset
        found = dataset.metainfo.classes, dataset.ann_file, dataset.data_prefix.img
        if found != (tuple(source.classes), f'{split}.json', folder):
            raise InputError(f'a config with these names cannot be read back: {source.classes}, {folder}')


def start_of(cfg: Config) -> str:
    """Return the name of the weights that the training of a config starts from."""
    pretrained = [settings['checkpoint'] for settings in pretrained_settings(cfg.model.backbone)]
    return cfg.get('load_from') or (f'{pretrained[0]} (the backbone)' if pretrained else 'random weights')


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
    print(f'{name}: {printable(source.format)}, {total} images, {len(source.classes)} classes')
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
    args.batch_size = args.batch_size or min(batch_size or whole, 1 << count.bit_length() - 1)
    # on a CPU smaller batches are for more steps, not for fewer epochs
    args.max_epochs = args.max_epochs or default_epochs(count, whole if args.base == CPU_BASE else args.batch_size)
    summary = [f'{name}: {printable(source.format)}. {sentence}']
    copied = write(args, source, root, digests, size, tables, summary, advice, faults)
    print(f'\nwritten to {args.out}: config.py, annotation files, report.html, faults.csv{copied}.')
    config = Config.fromfile(args.out / 'config.py')
    print(f'\nPlan: {args.base}, {size[0]} x {size[1]} pixels, {args.batch_size} images a batch, ', end='')
    print(f'from {start_of(config)}')
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


def write(
    args,
    source: Source,
    root: Path,
    digests: dict[Path, str],
    size,
    tables,
    summary: list[str],
    advice: list[str],
    faults: Faults,
) -> str:
    """Write the folder, under another name until it is complete; return what was copied."""
    free = (args.out.with_name(f'{args.out.name}.part{i or ""}') for i in itertools.count())
    partial = next(path for path in free if not os.path.lexists(path))
    partial.mkdir(parents=True)
    try:
        folders, named, copies = {}, {}, {}
        for split, samples in source.splits.items():
            paths = [sample.path for sample in samples]
            if args.copy:
                names, folders[split] = copy_images(paths, root, partial / split, args.bits), f'{split}/'
                copies.update({path: partial / split / name for path, name in names.items()})
            else:
                names, folders[split] = names_in_place(paths, root), f'{relative_to(root, args.out)}/'
            write_annotations(partial / f'{split}.json', coco_of(samples, source.classes, names, digests))
            named.update(names)
        (partial / 'config.py').write_text(config_text(args, source, folders, size), encoding='utf-8')
        check_config(partial / 'config.py', source, folders)
        guessed = {place for places in faults.guesses.values() for place in places}
        images = drawn(source.splits, source.classes, named, guessed, 12, args.seed, copies)
        (partial / 'faults.csv').write_text(faults.csv(), encoding='utf-8')
        (partial / 'report.html').write_text(
            page(f'Dataset {args.out.name}', summary, tables, advice, {f'{len(images)} images': images}),
            encoding='utf-8',
        )
        partial.rename(args.out)
        renamed = sum(path.name != copy.name for path, copy in copies.items())
        return f', and copies of {len(copies)} images, {renamed} of them with other names' if copies else ''
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


if __name__ == '__main__':
    main(args)
