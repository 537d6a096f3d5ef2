"""VGG Image Annotator: a project or an export as JSON, with regions of which the boxes around them are taken."""

from collections import Counter
from typing import Any

from ...errors import InputError
from .documents import Documents
from .faults import Faults
from .shapes import Entry, collect, ellipse_box
from .source import Files, Object, Source, numbers, polygon_box


def read_via(documents: Documents, files: Files, faults: Faults) -> Source:
    """Read VIA's annotations.

    The class is the value of a region's attribute; of several attributes the most frequent one, unless the user chose.
    Raises InputError if no region has the attribute that the user chose.
    """
    entries = []
    for path, content in documents.items():
        images = content.get('_via_img_metadata', content)
        for key, image in images.items() if isinstance(images, dict) else ():
            image = image if isinstance(image, dict) else {}
            regions = image.get('regions')
            regions = list(regions.values()) if isinstance(regions, dict) else regions  # VIA 1 has a dict
            split = files.split_of(path, by_name=True)
            entries.append(Entry(path, f'{path}: {key}', image.get('filename'), None, regions, split))
    shapes = [shape for entry in entries if isinstance(entry.shapes, list) for shape in entry.shapes]
    named = [shape.get('region_attributes') for shape in shapes if isinstance(shape, dict)]
    counts = Counter(key for attributes in named if isinstance(attributes, dict) for key in attributes)
    chosen = files.choices.attribute
    if chosen is not None and chosen not in counts:
        raise InputError(f'--attribute: no region has {chosen}; there are {", ".join(map(str, counts)) or "none"}')
    attribute = chosen or max(counts, key=lambda key: counts[key], default='')
    if len(counts) > 1 and chosen is None:
        others = ', '.join(key for key in counts if key != attribute)
        faults.guess(f'classes are the values of the attribute {attribute}', '--attribute', f'others: {others}')

    def object_of(shape: dict[str, Any], entry: Entry) -> Object:
        value = shape['region_attributes'][attribute]
        if isinstance(value, dict):  # of a checkbox
            value = next((key for key, is_set in value.items() if is_set), '')
        return Object(value, _box(shape['shape_attributes']))

    return collect(Source('VIA'), entries, object_of, files, faults)


def _box(shape: dict[str, Any]) -> tuple[float, float, float, float]:
    kind = shape['name']
    if kind == 'rect':
        x, y, width, height = numbers([shape[key] for key in ('x', 'y', 'width', 'height')])
        return x, y, x + width, y + height
    if kind == 'circle':
        return ellipse_box(shape['cx'], shape['cy'], shape['r'], shape['r'])
    if kind == 'ellipse':
        return ellipse_box(shape['cx'], shape['cy'], shape['rx'], shape['ry'])
    if kind == 'polygon':
        xs, ys = shape['all_points_x'], shape['all_points_y']
        return polygon_box([value for pair in zip(xs, ys, strict=True) for value in pair])
    raise ValueError(f'it is a {kind!s:.20}, which has no area')
