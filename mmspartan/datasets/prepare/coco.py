"""COCO: JSON files, one for each split or one for all, as COCO, Roboflow, CVAT and Label Studio write them."""

import itertools
import json
import math
from pathlib import Path
from typing import Any

from pycocotools import mask

from ...errors import InputError
from .faults import DROPPED, KEPT, RENAMED, Faults
from .source import Files, Object, Picture, Source, polygon_box, split_of


def read_coco_files(files: Files, faults: Faults, chosen: Path | None = None) -> Source | None:
    """Read the dataset if it has COCO annotations; None if it has none.

    Args:
        files: The files of the dataset.
        faults: Faults are added to it.
        chosen: The only annotation file to read; all by default.

    Raises:
        InputError: If images, annotations or categories are not lists of dicts with the entries that they need, or
            files contradict each other. The message names the file and the entry.
    """
    contents = {path: content for path in [chosen] if path and (content := _content(path))} or {
        path: content for path in files.ending('.json') if (content := _content(path))
    }
    if not contents:
        return None
    names_of_files = [
        str(path.relative_to(files.root) if path.is_relative_to(files.root) else path) for path in contents
    ]
    source = Source(f'COCO ({", ".join(names_of_files[:3])})')
    for path, content in contents.items():
        names = _categories(path, content)
        known = set(source.classes)
        source.classes += [name for name in dict.fromkeys(names.values()) if name not in known]
        used = sorted(names[i] for i in _used(content) & set(names))
        repeated = (f'{path}: {name}' for name in dict.fromkeys(used) if used.count(name) > 1)
        faults.add('several classes have the same name: they become one', RENAMED, *repeated)
        split = split_of(path, files.root)
        source.splits[split] += _pictures(path, content, names, split, files, faults)
    return source


def _content(path: Path) -> dict[str, Any]:
    """Return the content of a COCO file; {} of any other."""
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return {}
    is_coco = isinstance(content, dict) and all(isinstance(content.get(key), list) for key in ('images', 'annotations'))
    return content if is_coco else {}


def _entries(path: Path, content: dict[str, Any], key: str, needed: tuple[str, ...]) -> list[dict]:
    entries = content.get(key)
    for i, entry in enumerate(entries if isinstance(entries, list) else [None]):
        if not isinstance(entry, dict):
            raise InputError(f'{path}: {key}[{i}]: is {entry!r}, must be a dict')
        for name in needed:
            if not isinstance(entry.get(name), str | int):
                raise InputError(f'{path}: {key}[{i}].{name}: is {entry.get(name)!r}, must be a name or a number')
    return list(entries or [])


def _categories(path: Path, content: dict[str, Any]) -> dict[Any, str]:
    """Return the names of the categories by id, without those that only group others, as Roboflow writes one."""
    categories = sorted(_entries(path, content, 'categories', ('id', 'name')), key=lambda item: (str(item['id']), 0))
    categories.sort(key=lambda item: item['id'] if isinstance(item['id'], int) else 0)
    for first, second in itertools.pairwise(categories):
        if first['id'] == second['id']:
            raise InputError(f'{path}: categories: the id {first["id"]!r} is there twice')
    used = _used(content)
    groups = {str(item.get('supercategory')) for item in categories if item.get('supercategory') != item['name']}
    return {item['id']: str(item['name']) for item in categories if item['id'] in used or item['name'] not in groups}


def _used(content: dict[str, Any]) -> set[str | int]:
    """Return the ids of the categories that have annotations."""
    ids = (annotation.get('category_id') for annotation in content['annotations'] if isinstance(annotation, dict))
    return {i for i in ids if isinstance(i, str | int)}


def _pictures(
    path: Path, content: dict[str, Any], names: dict[Any, str], split: str, files: Files, faults: Faults
) -> list[Picture]:
    pictures: dict[Any, Picture | None] = {}
    for i, image in enumerate(_entries(path, content, 'images', ('id', 'file_name'))):
        where = f'{path}: images[{i}]'
        if image['id'] in pictures:
            raise InputError(f'{where}.id: {image["id"]} is there twice')
        found = files.find_picture(str(image['file_name']), path.parent, split)
        if found is None:
            faults.add('picture is not there', DROPPED, f'{where} ({image["file_name"]})')
        width, height = (image.get(key) or 0 for key in ('width', 'height'))
        is_size = all(_is_number(side) and 0 < side < math.inf for side in (width, height))
        size = (int(width), int(height)) if is_size else None
        pictures[image['id']] = Picture(found, size=size, where=where) if found else None
    for i, annotation in enumerate(content['annotations']):
        where = f'{path}: annotations[{i}]'
        if not isinstance(annotation, dict):
            raise InputError(f'{where}: is {annotation!r}, must be a dict')
        box = _box(annotation)
        image_id, category_id = (
            value if isinstance(value := annotation.get(key), str | int) else None
            for key in ('image_id', 'category_id')
        )
        if image_id not in pictures:
            faults.add('object is of a picture that the file does not list', DROPPED, where)
        elif category_id not in names:
            faults.add('object is of a class that the file does not list', DROPPED, where)
        elif box is None:
            faults.add('object has no box of four numbers', DROPPED, where)
        elif (picture := pictures[image_id]) is not None:
            crowd = bool(annotation.get('iscrowd'))
            if crowd:
                faults.add('object is a crowd: training and evaluation ignore it', KEPT, where)
            picture.objects.append(Object(names[category_id], box, ignored=crowd, where=where))
    return [picture for picture in pictures.values() if picture is not None]


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)


def _box(annotation: dict[str, Any]) -> tuple[float, float, float, float] | None:
    """Return the corners of an annotation's box, or of the box around its segmentation if it has no box."""
    box: Any = annotation.get('bbox')
    segmentation = annotation.get('segmentation')
    try:
        if not box and isinstance(segmentation, dict):
            if isinstance(segmentation['counts'], list):
                segmentation = mask.frPyObjects(segmentation, *segmentation['size'])
            box = [float(value) for value in mask.toBbox(segmentation)]
        elif not box and segmentation:
            return polygon_box([value for polygon in segmentation for value in polygon])
        if len(box) != 4 or not all(map(_is_number, box)):
            return None
    except (TypeError, ValueError, KeyError):
        return None
    x, y, width, height = box
    return x, y, x + width, y + height
