"""CVAT's own XML, "CVAT for images 1.1": one file a task, with shapes of which the boxes around them are taken."""

import xml.etree.ElementTree as ElementTree
from typing import Any

from ...errors import InputError
from .documents import Documents
from .faults import Faults
from .shapes import Entry, collect, ellipse_box, rotated_box
from .source import Files, Object, Source, number_of, polygon_box, size_of, split_in


def read_cvat(documents: Documents, files: Files, faults: Faults) -> Source:
    """Read CVAT's annotations of images; raises InputError for a file of a video, or without images."""
    source, entries = Source('CVAT'), []
    for path, root in documents.items():
        if root.find('track') is not None:
            raise InputError(f'{path}: has tracks of a video: export them from CVAT as "COCO 1.0" with its frames')
        if root.find('image') is None:
            raise InputError(f'{path}: has no image')
        names = [element.text or '' for element in root.iterfind('.//labels/label/name')]
        source.classes += [name for name in dict.fromkeys(names) if name and name not in source.classes]
        for i, image in enumerate(root.iterfind('image')):
            size = size_of(*(_number(image, key) for key in ('width', 'height')))
            where = f'{path}: image {i}'
            split = split_in(image.get('subset', '')) or files.split_of(path, by_name=True)
            entries.append(Entry(path, where, image.get('name'), size, list(image), split))
    return collect(source, entries, _object, files, faults)


def _object(shape: ElementTree.Element, entry: Entry) -> Object:
    def values(*keys: str) -> list[Any]:
        return [number_of(shape.attrib[key]) for key in keys]

    kind, rotation = shape.tag, number_of(shape.get('rotation', '0'))
    if kind == 'box':
        x0, y0, x1, y1 = values('xtl', 'ytl', 'xbr', 'ybr')
        box = (x0, y0, x1, y1)
        if rotation:
            box = rotated_box(x0, y0, x1 - x0, y1 - y0, rotation, ((x0 + x1) / 2, (y0 + y1) / 2))
    elif kind == 'polygon':
        box = polygon_box([number_of(value) for value in shape.attrib['points'].replace(';', ',').split(',')])
    elif kind == 'ellipse':
        cx, cy, rx, ry = values('cx', 'cy', 'rx', 'ry')
        box = ellipse_box(cx, cy, rx, ry, rotation)
    elif kind == 'mask':
        left, top, width, height = values('left', 'top', 'width', 'height')
        box = (left, top, left + width, top + height)
    else:
        raise ValueError(f'it is of the kind {kind:.20}, which has no area')
    return Object(shape.attrib['label'], box)


def _number(element: ElementTree.Element, key: str) -> float:
    try:
        return number_of(element.get(key, ''))
    except ValueError:
        return 0
