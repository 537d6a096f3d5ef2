"""labelme and Supervisely: one JSON file an image, with shapes of which the boxes around them are taken."""

import math
from pathlib import Path, PurePosixPath
from typing import Any
from unicodedata import normalize

from .documents import Documents
from .faults import KEPT, Faults
from .shapes import Box, Entry, add_images_beside, collect, ellipse_box, points_box
from .source import Files, Object, Source, numbers, size_of


def read_labelme(documents: Documents, files: Files, faults: Faults) -> Source:
    """Read labelme's annotations: ``imagePath`` and ``shapes``."""
    entries = []
    for path, content in documents.items():
        name = content['imagePath']
        taken = _name(path, name, files)
        entries.append(Entry(path, str(path), taken, _size(content), content['shapes']))
        if not isinstance(name, str) or taken == name:
            continue
        if files.has_namesake(_last(name)):
            faults.add('annotation file names another image than the one of its own name, which is taken', KEPT,
                       f'{path}: {name}')  # fmt: skip
        else:
            faults.note('image is the one with the name of the JSON file, which names another', f'{path}: {name}')
    source = collect(Source('labelme'), entries, _labelme_object, files, faults)
    add_images_beside(source, files)
    return source


def _name(path: Path, image: Any, files: Files) -> Any:
    """Return the image's name: that in the JSON file, unless there is none, or the file's own name is beside it.

    The names of both may have been changed together, or the file copied.
    """
    name = _last(image) if isinstance(image, str) else ''
    if normalize('NFC', PurePosixPath(name).stem) == normalize('NFC', path.stem):
        return image
    return path.stem if files.has_beside(path) or not files.has_namesake(name) else image


def _last(name: str) -> str:
    return PurePosixPath(name.replace('\\', '/')).name


def _size(content: dict[str, Any]) -> tuple[int, int] | None:
    return size_of(content.get('imageWidth'), content.get('imageHeight'))


def _labelme_object(shape: dict[str, Any], entry: Entry) -> Object:
    kind, points = shape.get('shape_type') or 'polygon', shape['points']
    if kind == 'circle':  # its center, and a point on it
        (x, y), (a, b) = (numbers(point, 2) for point in points)
        radius = math.hypot(a - x, b - y)
        return Object(shape['label'], ellipse_box(x, y, radius, radius))
    if kind not in ('rectangle', 'polygon', 'mask', 'oriented_rectangle'):
        raise ValueError(f'it is a {kind:.20}, which has no area')
    return Object(shape['label'], points_box(points))


def read_supervisely(documents: Documents, files: Files, faults: Faults) -> Source:
    """Read Supervisely's annotations: folders ``img`` and ``ann``, in which ``a.jpg`` has ``a.jpg.json``."""
    entries = [
        Entry(path, str(path), path.stem, size_of(content['size'].get('width'), content['size'].get('height')),
              content['objects'])
        for path, content in documents.items()
    ]  # fmt: skip
    for path in files.ending('.json'):
        if path.name == 'meta.json':
            files.named.add(path)
    return collect(Source('Supervisely'), entries, _supervisely_object, files, faults)


def _supervisely_object(shape: dict[str, Any], entry: Entry) -> Object:
    kind = shape.get('geometryType')
    if kind not in ('rectangle', 'polygon'):
        raise ValueError(f'it is a {kind!s:.20}, and only rectangles and polygons are read')
    box: Box = points_box(shape['points']['exterior'])
    return Object(shape['classTitle'], box)
