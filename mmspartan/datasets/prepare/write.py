"""A checked dataset as COCO annotation files, with the images where they are or copied beside the files."""

import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..image_files import to_8_bits
from .source import Sample


def coco_of(
    samples: list[Sample], classes: list[str], names: dict[Path, str], digests: dict[Path, str]
) -> dict[str, Any]:
    """Return the content of a COCO annotation file, with ids from 1; objects of other classes are left out.

    ``names`` has the ``file_name`` of each image, ``digests`` that of its content, by which ``--like`` knows it again.
    """
    ids = {name: i for i, name in enumerate(classes, 1)}
    images: list[dict] = []
    annotations: list[dict] = []
    for i, sample in enumerate(samples, 1):
        assert sample.size is not None
        width, height = sample.size
        image = dict(id=i, file_name=names[sample.path], width=width, height=height, sha1=digests[sample.path])
        images.append(image)
        for item in sample.objects:
            if item.name in ids:
                x0, y0, x1, y1 = item.box
                box = [round(value, 2) for value in (x0, y0, x1 - x0, y1 - y0)]
                annotations.append(
                    dict(
                        id=len(annotations) + 1,
                        image_id=i,
                        category_id=ids[item.name],
                        bbox=box,
                        area=round(box[2] * box[3], 2),
                        iscrowd=int(item.ignored),
                    )
                )
    # mmdet's error analysis takes classes of one supercategory as similar
    categories = [dict(id=i, name=name, supercategory=name) for name, i in ids.items()]
    return dict(images=images, annotations=annotations, categories=categories)


def write_annotations(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content))


def names_in_place(images: Iterable[Path], root: Path) -> dict[Path, str]:
    """Return the names of images below ``root``; of those elsewhere the absolute paths."""
    base = os.path.abspath(root)
    paths = {path: Path(os.path.abspath(path)) for path in images}
    return {
        path: full.relative_to(base).as_posix() if full.is_relative_to(base) else str(full)
        for path, full in paths.items()
    }


def copy_images(images: Iterable[Path], root: Path, folder: Path, bits: int | None = None) -> dict[Path, str]:
    """Copy images below ``root`` into a folder and return their names in it, which differ for equal names.

    ``bits`` are those of a value of 16-bit images. These are written with 8 bits, except images with larger values.
    """
    names: dict[Path, str] = {}
    taken = set()
    folder.mkdir(parents=True, exist_ok=True)
    places = names_in_place(images, root)
    counts = Counter(path.name for path in places)
    for path, below in places.items():
        deep = None
        if bits:
            pixels = cv2.imread(str(path), cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR)
            deep = pixels if pixels is not None and pixels.dtype == np.uint16 and pixels.max() < 2**bits else None
        name = f'{path.name}.png' if deep is not None and path.suffix.lower() != '.png' else path.name
        if counts[path.name] > 1 or name in taken:
            name = f'{below.lstrip("/").replace("/", "_")}{name.removeprefix(path.name)}'
        while name in taken:
            name = f'_{name}'
        taken.add(name)
        names[path] = name
        if bits and deep is not None:
            cv2.imwrite(str(folder / name), to_8_bits(deep, bits))
        else:
            shutil.copyfile(path, folder / name)
    return names


def relative_to(path: Path, folder: Path) -> str:
    """Return a path as seen from a folder, absolute if the two have nothing but the root in common."""
    path, folder = path.resolve(), folder.resolve()
    if len(Path(os.path.commonpath((path, folder))).parts) < 2:
        return path.as_posix()
    return Path(os.path.relpath(path, folder)).as_posix()


def literal(value: Any) -> str:
    """Return the text of a value in a config, in which no name is code or a template for mmengine, ``{{ ... }}``."""
    return re.sub(r'{(?={)', r'\\x7b', repr(value))
