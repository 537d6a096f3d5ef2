"""COCO annotation files, with a check of every entry.

pycocotools and mmdet ignore invalid entries: objects of unknown images or categories, boxes that are not finite or
empty, duplicate ids. Training then silently runs on fewer objects, or on none, and an evaluation counts wrong objects.
Here a wrong structure is an error. Single invalid annotations are left out of both training and evaluation, and one
report a file lists them with the reasons. The command ``prepare_dataset.py`` instead repairs what it can
(``prepare/coco.py``).
"""

import io
import json
import math
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
from mmdet.datasets.api_wrappers import COCO
from mmengine.dist import is_main_process
from mmengine.logging import print_log

from ..errors import InputError

NUMBERS = (int, float)
MAX_SIDE = 10  # of a box, in sides of its image; boxes of whole persons extend far beyond the image


class CheckedCOCO(COCO):
    """mmdet's COCO interface to a file that :func:`read_checked_coco` reads."""

    def __init__(self, annotation_file: str | Path | None = None):
        super().__init__()
        if annotation_file is not None:
            self.dataset = read_checked_coco(annotation_file)
            with redirect_stdout(io.StringIO()):  # says that it creates the index, and that it did
                self.createIndex()
            self.img_ann_map, self.cat_img_map = self.imgToAnns, self.catToImgs


def read_checked_coco(path: str | Path) -> dict[str, Any]:
    """Read and check an annotation file.

    A missing ``iscrowd`` becomes 0, and a missing ``area`` becomes the area of the box. Annotations are renumbered from
    1 if their ids are missing, not unique or too large for pycocotools, or one is 0, which it takes for "not found".
    Images or categories are numbered if their ids are numbers and texts, which pycocotools cannot sort.

    Returns:
        dict: The content of the file, of whose ``annotations`` the invalid ones are left out.

    Raises:
        InputError: If the file is not JSON, an entry is missing or has a wrong type, the ids of images or categories
            are not unique, annotations have unknown categories, or all annotations are invalid. The message names the
            file and the entry.
    """
    content = _read_json(path)
    images = checked_list(path, content, 'images', IMAGE)
    categories = checked_list(path, content, 'categories', CATEGORY)
    if not images or not categories:
        raise InputError(f'{path}: {"images" if not images else "categories"} is an empty list')
    _check_unique(path, 'images', 'id', images)
    _check_unique(path, 'categories', 'id', categories)
    _check_unique(path, 'categories', 'name', categories)
    annotations = checked_list(path, {'annotations': [], **content}, 'annotations', ANNOTATION, optional='iscrowd')
    kept, invalid, notes = _usable(path, annotations, images, categories)
    _report(path, len(annotations), invalid, notes)
    if annotations and not kept:
        raise InputError(
            f'{path}: none of its {len(annotations)} annotations can be used: '
            + '; '.join(f'{reason} ({len(ids)}, first id {ids[0]})' for reason, ids in invalid.items())
        )
    images = _with_ids_of_one_kind(images, kept, 'image_id')
    categories = _with_ids_of_one_kind(categories, kept, 'category_id')
    return {**content, 'images': images, 'categories': categories, 'annotations': kept}


def _with_ids_of_one_kind(items: list[dict], annotations: list[dict], key: str) -> list[dict]:
    if len({type(item['id']) for item in items}) == 1:
        return items
    numbers = {item['id']: i for i, item in enumerate(items, 1)}
    for annotation in annotations:
        annotation[key] = numbers[annotation[key]]
    return [{**item, 'id': numbers[item['id']]} for item in items]


def _read_json(path: str | Path) -> dict[str, Any]:
    content = Path(path).read_bytes()
    if not content.strip():
        raise InputError(f'{path}: is empty')
    try:
        content = json.loads(content)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        raise InputError(f'{path}: not JSON: {error}') from error
    if not isinstance(content, dict):
        raise InputError(f'{path}: is {_shown(content)}, must be a dict with images, annotations and categories')
    return content


def checked_list(
    path: str | Path, content: dict, key: str, entries: Mapping[str, Callable], optional: str = ''
) -> list[dict]:
    """Return the list under a key of a file's content, after a check that each item is a dict with these entries.

    ``entries`` has a check for each, whose docstring says what is valid; the ``optional`` one may be missing. Raises
    InputError, which names file and entry.
    """
    items = content.get(key)
    if not isinstance(items, list):
        raise InputError(f'{path}: {key}: is {_shown(items)}, must be a list')
    for i, item in enumerate(items):
        if not isinstance(item, dict):
            raise InputError(f'{path}: {key}[{i}]: is {_shown(item)}, must be a dict')
        for name, check in entries.items():
            if name not in item and name != optional:
                raise InputError(f'{path}: {key}[{i}].{name}: is missing')
            if not check(item.get(name)):
                raise InputError(f'{path}: {key}[{i}].{name}: is {_shown(item[name])}, must be {check.__doc__}')
    return items


MAX_ID = (1 << 53) - 1  # pycocotools keeps ids as float64


def _is_id(value: Any) -> bool:
    """a whole number below 2^53 or a text"""
    return (type(value) is int and abs(value) <= MAX_ID) or (type(value) is str and value != '')


def _is_size(value: Any) -> bool:
    """a positive whole number"""
    return type(value) in NUMBERS and 0 < value < 1e9 and value == int(value)


def _is_text(value: Any) -> bool:
    """a text"""
    return type(value) is str and value != '' and '\0' not in value


def _is_box(value: Any) -> bool:
    """four numbers, [x, y, width, height]"""
    return isinstance(value, list) and len(value) == 4 and all(type(number) in NUMBERS for number in value)


def _is_crowd(value: Any) -> bool:
    """0 or 1"""
    return value in (None, 0, 1)


IMAGE = {'id': _is_id, 'width': _is_size, 'height': _is_size, 'file_name': _is_text}
CATEGORY = {'id': _is_id, 'name': _is_text}
ANNOTATION = {'image_id': _is_id, 'category_id': _is_id, 'bbox': _is_box, 'iscrowd': _is_crowd}


def _shown(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 40 else f'{text[:37]}...'


def _check_unique(path: str | Path, key: str, name: str, items: list[dict]) -> None:
    first: dict[Any, int] = {}
    for i, item in enumerate(items):
        j = first.setdefault(item[name], i)
        if j != i:
            raise InputError(
                f'{path}: {key}[{i}].{name}: {_shown(item[name])} is there twice, {key}[{j}] has it as well'
            )


def _usable(
    path: str | Path, annotations: list[dict], images: list[dict], categories: list[dict]
) -> tuple[list[dict], dict[str, list], list[str]]:
    """Return the valid annotations, the ids of the others by the reason, and remarks for the report."""
    known = {category['id'] for category in categories}
    unknown = Counter(a['category_id'] for a in annotations if a['category_id'] not in known)
    if unknown:
        listed = ', '.join(f'{_shown(key)} ({count} annotations)' for key, count in list(unknown.items())[:5])
        raise InputError(
            f'{path}: annotations are of categories that it does not list: category_id {listed}; its categories have '
            f'the ids {", ".join(map(_shown, list(known)[:10]))}'
        )
    sizes = {image['id']: (image['width'], image['height']) for image in images}
    limits = np.array([sizes.get(a['image_id'], (0, 0)) for a in annotations], dtype=float).reshape(-1, 2)
    lost = next((a['image_id'] for a in annotations if a['image_id'] not in sizes), None)
    largest = sys.float_info.max
    boxes = np.array(  # an integer may be too large for a float
        [[number if abs(number) <= largest else math.inf for number in a['bbox']] for a in annotations], dtype=float
    ).reshape(-1, 4)
    with np.errstate(all='ignore'):
        corners, sides = boxes[:, :2], boxes[:, 2:]
        ends = corners + sides
        reasons = {
            f'image_id is no image (the first is {_shown(lost)})': limits[:, 0] == 0,
            'bbox is not finite': ~np.isfinite(boxes).all(axis=1),
            'width or height of bbox is not positive': (sides <= 0).any(axis=1),
            'bbox is outside of the image': ((corners >= limits) | (ends <= 0)).any(axis=1),
            f'bbox is more than {MAX_SIDE} times as wide or high as the image': (sides > MAX_SIDE * limits).any(axis=1),
        }
        names = [*reasons, '']
        reason_of = [names[i] for i in np.argmax([*reasons.values(), np.ones(len(boxes))], axis=0)]
        is_tiny, products = np.less(sides.min(axis=1), 1).tolist(), sides.prod(axis=1).tolist()
        are_shares = (boxes >= 0).all() and (boxes <= 1).all() and (ends[:, 0] <= 1.001).all() and (boxes % 1).any()
    if are_shares:
        raise InputError(
            f'{path}: all boxes are within [0, 1], annotations[0].bbox: {_shown(annotations[0]["bbox"])}; COCO has '
            '[x, y, width, height] in pixels'
        )

    kept, areas, tiny = [], 0, 0
    invalid: dict[str, list] = defaultdict(list)
    for i, annotation in enumerate(annotations):
        if reason_of[i]:
            invalid[reason_of[i]].append(annotation.get('id'))
            continue
        area: Any = annotation.get('area')
        is_area = type(area) in NUMBERS and 0 < area <= largest
        areas += area is not None and not is_area
        tiny += is_tiny[i]
        area = area if is_area else products[i]
        kept.append({**annotation, 'area': area, 'iscrowd': int(annotation.get('iscrowd') or 0)})
    notes = [f'{areas} annotations: area is not positive; the area of the box is used'] if areas else []
    if tiny:
        notes.append(f'{tiny} annotations are narrower or lower than a pixel: evaluated, but not trained on')
    ids = [annotation.get('id') for annotation in kept]
    if any(type(n) is not int or n == 0 or abs(n) > MAX_ID for n in ids) or len(set(ids)) < len(ids):
        kept = [{**annotation, 'id': i} for i, annotation in enumerate(kept, 1)]
    return kept, invalid, notes


_reported: set[tuple[str, int]] = set()


def _report(path: str | Path, total: int, invalid: dict[str, list], notes: list[str]) -> None:
    """Log the report on a file once, however often it is read."""
    key = (str(Path(path).resolve()), Path(path).stat().st_mtime_ns)
    if key in _reported or not (invalid or notes) or not is_main_process():
        return
    _reported.add(key)
    lines = [f'{path}: {sum(map(len, invalid.values()))} of {total} annotations left out'] if invalid else []
    width = max(map(len, invalid), default=0)
    for reason, ids in invalid.items():
        first = ', '.join(map(str, ids[:5])) + (', ...' if len(ids) > 5 else '')
        lines.append(f'  {reason:{width}}  {len(ids):7}  ids {first}')
    print_log('\n'.join([*lines, *(f'{path}: {note}' for note in notes)]), 'current', level=30)
