"""Label Studio's JSON: tasks with shapes in percent of the image, of which the boxes around them are taken."""

import math
from typing import Any

from .documents import Documents
from .faults import DROPPED, KEPT, Faults
from .shapes import Entry, collect, ellipse_box, points_box, rotated_box
from .source import Files, Object, Source, numbers, size_of

LABELS = ('rectanglelabels', 'polygonlabels', 'ellipselabels')


def read_label_studio(documents: Documents, files: Files, faults: Faults) -> Source:
    """Read the annotations of tasks; a task without one is no image without objects, and is left out."""
    entries = []
    for path, tasks in documents.items():
        for i, task in enumerate(tasks):
            where = f'{path}: task {task.get("id", i) if isinstance(task, dict) else i}'
            if not isinstance(task, dict) or not isinstance(task.get('data'), dict):
                faults.add('task has no data', DROPPED, where)
                continue
            annotations = task.get('annotations') or task.get('completions') or []
            annotations = annotations if isinstance(annotations, list) else []
            given = [one for one in annotations if isinstance(one, dict)]
            annotations = [one for one in given if not one.get('was_cancelled')]
            names = [value for value in task['data'].values() if isinstance(value, str)]
            name = next((name for name in names if '.' in name), None)
            if not annotations:
                what = 'task was skipped' if given else 'task has no annotation'
                faults.add(what, DROPPED, f'{where}: {name}')
                continue
            if len(annotations) > 1:
                faults.add('task has several annotations: the first is used', KEPT, where)
            shapes = annotations[0].get('result')
            first = shapes[0] if isinstance(shapes, list) and shapes and isinstance(shapes[0], dict) else {}
            # the shapes say which entry of the data is the image; otherwise it is the first text with a suffix
            name = task['data'].get(str(first.get('to_name')), name)
            size = size_of(first.get('original_width'), first.get('original_height'))
            entries.append(Entry(path, where, name, size, shapes, files.split_of(path, by_name=True)))
    return collect(Source('Label Studio'), entries, _object, files, faults)


def _object(shape: dict[str, Any], entry: Entry) -> Object:
    value, size = shape['value'], entry.size
    key = next((key for key in LABELS if key in value), None)
    if key is None:
        raise ValueError(f'it is of the kind {shape.get("type")!s:.20}, which has no area')
    if size is None:
        raise ValueError('its image has no size')
    degrees = numbers([value.get('rotation', 0)])[0]
    if key == 'polygonlabels':
        box = points_box(value['points'])
    elif key == 'ellipselabels':
        box = ellipse_box(value['x'], value['y'], value['radiusX'], value['radiusY'])
    else:
        x, y, width, height = numbers([value[name] for name in ('x', 'y', 'width', 'height')])
        box = (x, y, x + width, y + height)
    scale = size[0] / 100, size[1] / 100
    box = box[0] * scale[0], box[1] * scale[1], box[2] * scale[0], box[3] * scale[1]
    if degrees and key != 'polygonlabels' and math.isfinite(sum(box)):
        width, height = box[2] - box[0], box[3] - box[1]
        # rectangles turn around their first corner, ellipses around their center
        if key == 'rectanglelabels':
            box = rotated_box(box[0], box[1], width, height, degrees, box[:2])
        else:
            box = ellipse_box(box[0] + width / 2, box[1] + height / 2, width / 2, height / 2, degrees)
    if len(value[key]) > 1:
        raise ValueError(f'it has {len(value[key])} labels')
    return Object(value[key][0], box)
