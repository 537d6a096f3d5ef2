"""labelme and Supervisely: one JSON file an image, with shapes of which the boxes around them are taken."""

import math
from pathlib import PurePosixPath
from typing import Any

from .documents import Documents
from .faults import Faults
from .shapes import Box, Entry, add_images_beside, collect, ellipse_box, points_box
from .source import Files, Object, Source, numbers, size_of


def read_labelme(documents: Documents, files: Files, faults: Faults) -> Source:
    """Read labelme's annotations: ``imagePath`` and ``shapes``."""
    entries = [
        # the JSON file has the image's name, which may have been changed together with the file's
        Entry(path, str(path), _name(path.stem, content['imagePath'], files), _size(content), content['shapes'])
        for path, content in documents.items()
    ]
    for path, content in documents.items():
        name = content['imagePath']
        stem = PurePosixPath(name.replace('\\', '/')).stem if isinstance(name, str) else path.stem
        if stem != path.stem and _name(path.stem, name, files) == path.stem:
            faults.note('image is the one with the name of the JSON file, which names another', f'{path}: {name}')
    source = collect(Source('labelme'), entries, _labelme_object, files, faults)
    add_images_beside(source, files, faults)
    return source


def _name(stem: str, image: Any, files: Files) -> Any:
    name = PurePosixPath(image.replace('\\', '/')) if isinstance(image, str) else PurePosixPath()
    return image if name.stem == stem or files.has_namesake(name.name) else stem


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
