"""What formats have in common whose objects are shapes: the box around each, or the reason why it has none."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .faults import DROPPED, KEPT, Faults
from .source import Files, Object, Sample, Source, numbers, polygon_box

Box = tuple[float, float, float, float]


@dataclass
class Entry:
    """An image of an annotation file."""

    file: Path
    where: str  # place in the file, for messages
    name: Any
    size: tuple[int, int] | None  # width and height in pixels, as the annotations say
    shapes: Any  # as the format has them
    split: str = ''  # by the folders of the image by default


def collect(
    source: Source,
    entries: Iterable[Entry],
    object_of: Callable[[Any, Entry], Object],
    files: Files,
    faults: Faults,
) -> Source:
    """Add the images and objects of entries to a dataset, new classes in alphabetical order.

    ``object_of`` converts a shape. It raises ValueError with the reason for a shape that has no box; other errors of
    data (KeyError, TypeError, AttributeError) mean that it is no shape of the format.
    """
    names = set[str]()
    for entry in entries:
        if not isinstance(entry.name, str) or not entry.name:
            faults.add('entry has no name of an image', DROPPED, entry.where)
            continue
        image = files.find_image(entry.name, entry.file.parent, entry.split, entry.where)
        if image is None:
            continue
        sample = Sample(image, [], entry.size, entry.where)
        if not isinstance(entry.shapes, list):
            faults.add('objects of the image are no list', DROPPED, entry.where)
        for i, shape in enumerate(entry.shapes if isinstance(entry.shapes, list) else (), 1):
            where = f'{entry.where}: object {i}'
            try:
                item = object_of(shape, entry)
            except ValueError as error:
                faults.add(f'object has no box: {error}', DROPPED, where)
            except (KeyError, TypeError, AttributeError, IndexError):
                faults.add('object is no shape of this format', DROPPED, where)
            else:
                if type(item.name) is int:
                    faults.add('class of the object is a number: read as text', KEPT, where)
                    item.name = str(item.name)
                if not isinstance(item.name, str) or not item.name.strip():
                    faults.add('object has no name', DROPPED, where)
                    continue
                item.where = where
                names.add(item.name)
                sample.objects.append(item)
        source.splits[entry.split or files.split_of(image)].append(sample)
    source.classes += sorted(names - set(source.classes))
    return source


def add_images_beside(source: Source, files: Files) -> None:
    """Add the images beside annotated ones that have no annotation file, not even one that cannot be read."""
    used = {sample.path for samples in source.splits.values() for sample in samples}
    beside, broken = {path.parent for path in used}, {path.name.partition('.')[0] for path in files.broken}
    for path in files.images:
        if path.parent in beside and path not in used and path.name.partition('.')[0] not in broken:
            source.splits[files.split_of(path)].append(Sample(path))


def points_box(points: Any) -> Box:
    """Return the box around points ``[[x, y], [x, y], ...]``."""
    return polygon_box([value for point in points for value in point])


def ellipse_box(cx: Any, cy: Any, rx: Any, ry: Any, degrees: float = 0) -> Box:
    """Return the box around an ellipse that is rotated by an angle."""
    x, y, a, b = numbers([cx, cy, rx, ry])
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    width, height = math.hypot(a * cos, b * sin), math.hypot(a * sin, b * cos)
    return x - width, y - height, x + width, y + height


def rotated_box(x: float, y: float, width: float, height: float, degrees: float, center: tuple[float, float]) -> Box:
    """Return the box around a rectangle from the corner (x, y) that is rotated around a point."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    corners = [(px - center[0], py - center[1]) for px in (x, x + width) for py in (y, y + height)]
    return points_box([(center[0] + a * cos - b * sin, center[1] + a * sin + b * cos) for a, b in corners])
