"""Small datasets in the layouts in which people have them."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmspartan.datasets.prepare.classes import check_similar_names
from mmspartan.datasets.prepare.clean import clean
from mmspartan.datasets.prepare.faults import Faults
from mmspartan.datasets.prepare.read import read_sources
from mmspartan.datasets.prepare.source import Choices, Source

BOX = (10, 20, 30, 60)
GOOD = dict(image_id=0, category_id=1, bbox=[10, 20, 20, 40])  # an annotation of COCO with this box
LINE = '0 0.2 0.5 0.2 0.5\n'  # the same in YOLO's format, in an image of 100 x 80


def write(path: Path, text: str = LINE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def draw(path: Path, width: int = 100, height: int = 80, seed: int | None = None) -> None:
    """Write an image; each name has its own content unless ``seed`` says otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(sum(path.as_posix().encode()) if seed is None else seed)
    cv2.imwrite(str(path), rng.integers(0, 255, (height, width, 3), dtype=np.uint8))


def voc(path: Path, *objects: tuple, size: tuple = (100, 80), filename: str = '', difficult: int = 0) -> None:
    items = ''.join(
        f'<object><name>{name}</name><difficult>{difficult}</difficult><bndbox><xmin>{x0}</xmin><ymin>{y0}</ymin>'
        f'<xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox></object>'
        for name, x0, y0, x1, y1 in objects
    )
    sizes = f'<size><width>{size[0]}</width><height>{size[1]}</height></size>' if size else ''
    write(path, f'<annotation><filename>{filename or path.stem}.jpg</filename>{sizes}{items}</annotation>')


def coco(path: Path, images: list[tuple], annotations: list[dict], names: list[str], **options) -> None:
    """Write a COCO file; images are (file_name, width, height) with ids from 0, categories have ids from 1."""
    content = dict(
        images=[dict(id=i, file_name=name, width=w, height=h) for i, (name, w, h) in enumerate(images)],
        annotations=[{'id': i, 'iscrowd': 0, **entry} for i, entry in enumerate(annotations)],
        categories=[dict(id=i, name=name) for i, name in enumerate(names, 1)],
    )
    write(path, json.dumps({**content, **options}))


def labelme(path, *shapes: tuple, **more) -> None:
    """Write labelme's file of an image; shapes are (label, type, points)."""
    content = dict(
        imagePath=f'{path.stem}.jpg',
        imageWidth=100,
        imageHeight=80,
        shapes=[dict(label=label, shape_type=kind, points=points) for label, kind, points in shapes],
    )
    path.write_text(json.dumps({**content, **more}))


@pytest.fixture
def read(tmp_path) -> Callable[..., tuple[Source, Faults]]:
    """Reads a dataset below ``tmp_path`` and checks its images and objects."""

    def run(name: str = '', images: Path | None = None, **options) -> tuple[Source, Faults]:
        faults, choices = Faults(), Choices(**options)
        source, _ = read_sources([tmp_path / name], faults, images, choices)
        clean(source, faults, lambda items, count: items, choices)
        check_similar_names(source, faults)
        return source, faults

    return run


def found(source: Source, root: Path) -> dict[str, dict[str, list[tuple]]]:
    """Objects of each image of each split, as (name, box), without splits that have none."""
    return {
        split: {
            sample.path.relative_to(root).as_posix(): [
                (item.name, tuple(round(value, 6) for value in item.box)) for item in sample.objects
            ]
            for sample in samples
        }
        for split, samples in source.splits.items()
        if samples
    }


def done(faults: Faults) -> set[tuple[str, str, int]]:
    return {(what, measure, count) for what, measure, count, _ in faults.rows()}


def places(faults: Faults, kind: str = 'places') -> list[str]:
    """All places of faults, of ``'guesses'`` or of ``'notes'``, sorted."""
    return sorted(place for found in getattr(faults, kind).values() for place in found)


def options(faults: Faults) -> list[str]:
    """The options that decide on what was guessed."""
    return sorted(option for _, option in faults.guesses)
