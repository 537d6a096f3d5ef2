"""The report on a dataset: tables for the terminal, and one HTML page with them and with drawn boxes."""

import random
import sys
import textwrap
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import cv2
import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from terminaltables import AsciiTable

from mmspartan_cli import printable

from ...version import __version__
from ...visualization.legible_visualizer import LegibleDetLocalVisualizer
from ...visualization.page import embed_jpeg, render
from ..image_files import decode_image, read_image
from .faults import Faults
from .source import Sample
from .statistics import SplitStatistics

Table = list[list[str]]


@dataclass
class Report:
    """What is said of a dataset: a summary, tables by title, and advice."""

    summary: list[str]
    tables: dict[str, Table]
    advice: list[str]


def tables_of(
    statistics: dict[str, SplitStatistics],
    classes: list[str],
    faults: Faults,
    image_size: tuple[int, int],
    queries: int,
) -> dict[str, Table]:
    """Return the report's tables by title, each a list of rows of which the first is the head.

    ``image_size`` is width and height of the network's input, ``queries`` the largest number of objects that the
    detector finds in an image.
    """
    splits = list(statistics)
    of_classes = [['class', *(f'{split} {what}' for split in splits for what in ('images', 'objects'))]]
    for name in classes:
        of_classes.append([name])
        for split in splits:
            of_classes[-1] += [str(statistics[split].images_of[name]), str(statistics[split].objects[name])]
    size = f'{image_size[0]} x {image_size[1]}'
    rows = {
        'images': lambda s: s.images,
        'images without objects': lambda s: s.empty,
        'objects': lambda s: sum(s.objects.values()),
        'objects that are ignored (crowds, difficult ones)': lambda s: s.ignored,
        'objects an image, mean': lambda s: f'{s.mean:.1f}',
        f'objects an image, most (queries: {queries})': lambda s: s.most,
        f'small at {size} (area below 32 x 32)': lambda s: s.sizes[0],
        f'medium at {size}': lambda s: s.sizes[1],
        f'large at {size} (area from 96 x 96)': lambda s: s.sizes[2],
        f'narrower or lower than 8 pixels at {size}': lambda s: s.tiny,
    }
    return {
        'Classes': of_classes,
        'Images and objects': [
            ['', *splits],
            *([name, *(str(value(statistics[split])) for split in splits)] for name, value in rows.items()),
        ],
        'Faults': _rows(['fault', 'done', 'times', 'first places'], faults.rows()),
        'Guesses': _rows(['guess', 'otherwise by', 'times', 'first places'], faults.rows('guesses')),
        'Notes': _rows(['note', '', 'times', 'first places'], faults.rows('notes')),
    }


def _rows(head: list[str], rows: Iterable[tuple[str, str, int, list[str]]]) -> Table:
    found = [(what, done, str(count), '\n'.join(map(printable, places))) for what, done, count, places in rows]
    return [head, *([printable(what), *others] for what, *others in found)]


def advice_of(
    statistics: dict[str, SplitStatistics], classes: list[str], image_size: tuple[int, int], queries: int
) -> list[str]:
    """Return what the numbers suggest to do, a sentence each."""
    advice = []
    most = max(split.most for split in statistics.values())
    if most > queries:
        advice.append(
            f'An image has {most} objects, but the detector finds at most {queries}: set model.num_queries and '
            'model.test_cfg.max_per_img, or cut the images into parts.'
        )
    train = statistics['train']
    total = sum(train.objects.values())
    if total and train.tiny > 0.1 * total:
        advice.append(
            f'{train.tiny / total:.0%} of the training objects are narrower or lower than 8 pixels at '
            f'{image_size[0]} x {image_size[1]}, the size of a cell of the finest feature map: train with a larger '
            'image_size, or cut the images into parts.'
        )
    for split, numbers in statistics.items():
        missing = [name for name in classes if not numbers.objects[name]]
        if missing:
            advice.append(f'{split} has no object of {", ".join(missing[:10])}{", ..." if len(missing) > 10 else ""}.')
    rare = [name for name in classes if 0 < train.objects[name] < 20]
    if rare:
        advice.append(f'Fewer than 20 training objects: {", ".join(rare[:10])}{", ..." if len(rare) > 10 else ""}.')
    return advice


def printed(tables: dict[str, Table], most: int = 40) -> str:
    """Return the tables as text for a terminal, of each at most so many rows; a table without rows only if it is said.

    A dataset without notes needs no table for them, but that it has no faults and that nothing was guessed is news.
    """
    parts = []
    for title, rows in tables.items():
        if title == 'Notes' and len(rows) == 1:
            continue
        if len(rows) > most + 1:
            rows = [*rows[:most], [f'{len(rows) - most} more in report.html', *[''] * (len(rows[0]) - 1)]]
        parts.append(fitting(rows, f' {title} ') if len(rows) > 1 else f'{title}: none')
    return '\n\n'.join(parts)


def fitting(rows: Table, title: str) -> str:
    """Return a table as text; on a terminal the last column is wrapped, so that lines fit."""
    table = AsciiTable([list(row) for row in rows], title)
    if sys.stdout.isatty():
        width = max(30, table.column_max_width(len(rows[0]) - 1))
        for row in table.table_data:
            row[-1] = '\n'.join(textwrap.fill(line, width) for line in row[-1].split('\n'))
    return table.table


def drawn(
    splits: dict[str, list[Sample]],
    classes: list[str],
    names: dict[Path, str],
    guessed: Collection[str],
    count: int,
    seed: int,
    copies: Mapping[Path, Path] = MappingProxyType({}),
) -> list[tuple[str, np.ndarray]]:
    """Draw boxes on images chosen at random, read from their copies: names and RGB ``(H, W, 3)``, uint8.

    Up to half of them are those of a guess, from all splits. The others are of the training set, with objects if there
    are any.
    """
    rng, train = random.Random(seed), splits['train']
    of_guesses = [sample for samples in splits.values() for sample in samples if str(sample.path) in guessed]
    others = [sample for sample in train if sample.objects] or list(train)
    rng.shuffle(of_guesses)
    rng.shuffle(others)
    first = {sample.path: sample for sample in of_guesses[: count // 2]}
    chosen = [*first.values(), *(sample for sample in others if sample.path not in first)][:count]
    visualizer = LegibleDetLocalVisualizer()
    visualizer.dataset_meta = dict(classes=classes)
    labels = {name: i for i, name in enumerate(classes)}
    images = []
    for sample in chosen:
        path = copies.get(sample.path, sample.path)
        image = decode_image(read_image(path), path)[..., ::-1]
        objects = [item for item in sample.objects if item.name in labels]
        truth = DetDataSample()
        truth.gt_instances = InstanceData(
            bboxes=torch.tensor([item.box for item in objects], dtype=torch.float32).reshape(-1, 4),
            labels=torch.tensor([labels[item.name] for item in objects], dtype=torch.long),
        )
        visualizer.add_datasample(sample.path.name, image, truth, draw_pred=False)
        image = visualizer.get_image()
        least = max(image.shape[:2]) // 40  # a line of pixels would vanish when the page reduces it
        below, right = (max(0, least - side) for side in image.shape[:2])
        image = cv2.copyMakeBorder(image, 0, below, 0, right, cv2.BORDER_CONSTANT, value=(128, 128, 128))
        images.append((printable(names[sample.path]), image))
    return images


def page(title: str, report: Report, images: dict[str, list[tuple[str, np.ndarray]]]) -> str:
    """Return a report as an HTML page; ``images`` are RGB ``(H, W, 3)`` with their names, by title."""
    return render(
        Path(__file__).with_name('report.html'),
        title=title,
        generator=f'mmspartan {__version__}',
        summary=report.summary,
        tables=report.tables,
        advice=report.advice,
        images=images,
        embed=lambda image: embed_jpeg(cv2.cvtColor(image, cv2.COLOR_RGB2BGR), longest=640),
    )
