"""COCO: JSON files, one for each split or one for all, as COCO, Roboflow, CVAT and Label Studio write them.

Differs from ``mmspartan/datasets/checked_coco.py``, which refuses contradictions: here they are recorded and left out.
"""

import itertools
import re
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError
from ..checked_coco import checked_list
from .documents import Documents
from .faults import DROPPED, RENAMED, Faults
from .source import Files, Object, Sample, Source, numbers, polygon_box, size_of

# What COCO has beside `instances_*.json` in its folder of annotations.
OTHER_TASKS = re.compile(r'(captions|person_keypoints|panoptic|stuff|image_info)_')
Box = tuple[float, float, float, float]


def read_coco_files(contents: Documents, files: Files, faults: Faults) -> Source:
    """Read COCO files.

    Raises InputError, which names file and entry, if images, annotations or categories are not lists of dicts with the
    entries that they need, or files contradict each other.
    """
    others = [path for path in contents if OTHER_TASKS.match(path.name)]
    others = [path for path in others if path.with_name(OTHER_TASKS.sub('instances_', path.name)) in contents]
    faults.note('file is of another task of COCO', *map(str, others))
    contents = {path: content for path, content in contents.items() if path not in others}
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
        split = files.split_of(path, by_name=True)
        source.splits[split] += _samples(path, content, names, split, files, faults)
    return source


def _is_name(value: Any) -> bool:
    """a name or a number"""
    return isinstance(value, str | int)


CATEGORY, IMAGE = dict.fromkeys(('id', 'name'), _is_name), dict.fromkeys(('id', 'file_name'), _is_name)


def _categories(path: Path, content: dict[str, Any]) -> dict[Any, str]:
    """Return the names of the categories by id, without those that only group others, as Roboflow writes one."""
    categories = sorted(checked_list(path, content, 'categories', CATEGORY), key=lambda item: (str(item['id']), 0))
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


def _samples(
    path: Path, content: dict[str, Any], names: dict[Any, str], split: str, files: Files, faults: Faults
) -> list[Sample]:
    samples: dict[Any, Sample | None] = {}
    for i, image in enumerate(checked_list(path, content, 'images', IMAGE)):
        where = f'{path}: images[{i}]'
        if image['id'] in samples:
            raise InputError(f'{where}.id: {image["id"]} is there twice')
        found = files.find_image(str(image['file_name']), path.parent, split, where)
        size = size_of(image.get('width'), image.get('height'))
        samples[image['id']] = Sample(found, size=size, where=where) if found else None
    annotated = []
    for i, annotation in enumerate(content['annotations']):
        where = f'{path}: annotations[{i}]'
        if not isinstance(annotation, dict):
            faults.add('object is no dict', DROPPED, where)
            continue
        image_id, category_id = (
            value if isinstance(value := annotation.get(key), str | int) else None
            for key in ('image_id', 'category_id')
        )
        crowd = annotation.get('iscrowd') or 0
        if image_id not in samples:
            faults.add('object is of an image that the file does not list', DROPPED, where)
        elif category_id not in names:
            faults.add('object is of a class that the file does not list', DROPPED, where)
        elif crowd not in (0, 1):
            faults.add('iscrowd is neither 0 nor 1', DROPPED, where)
        elif (sample := samples[image_id]) is not None:
            try:
                box = _box(annotation, sample)
            except (TypeError, ValueError, KeyError) as error:
                faults.add(f'object has no box of four numbers{_reason(error)}', DROPPED, where)
                continue
            if 'score' in annotation:
                faults.note('object has a score, as predictions have', where)
            if crowd:
                faults.note('object is a crowd: training and evaluation ignore it', where)
            item = Object(names[category_id], box, ignored=bool(crowd), where=where)
            sample.objects.append(item)
            annotated.append((sample, item, annotation.get('bbox') not in (None, [])))
    _convert([(sample, item) for sample, item, has_box in annotated if has_box], path, files, faults)
    return [sample for sample in samples.values() if sample is not None]


class MaskError(ValueError):
    """A mask that cannot be decoded, or is of another size than its image."""


def _reason(error: Exception) -> str:
    return f', and {error}' if isinstance(error, MaskError) else ''


def _box(annotation: dict[str, Any], sample: Sample) -> Box:
    """Return an annotation's ``bbox`` as corners, or the box around its segmentation if it has no box.

    Raises ValueError, TypeError or KeyError if there is none.
    """
    segmentation = annotation.get('segmentation')
    if annotation.get('bbox') not in (None, []):
        x, y, width, height = numbers(annotation['bbox'], 4)
        return x, y, x + width, y + height
    if isinstance(segmentation, dict):
        height, width = segmentation['size']
        if size_of(width, height) is None:
            raise MaskError('its mask has no size')
        sample.size = sample.size or (int(width), int(height))  # compared with the file later
        if sample.size != (width, height):
            raise MaskError('its mask has another size than its image')
        return mask_box(segmentation['counts'], int(height), int(width))
    return polygon_box([value for polygon in segmentation or [] for value in polygon])


def mask_box(counts: Any, height: int, width: int) -> Box:
    """Return the box around a run-length encoded mask; pycocotools would crash on a mask that contradicts itself.

    ``counts`` are the lengths of the runs of 0 and 1 in turn, column by column, or COCO's text for them. Raises
    MaskError if the mask is empty, or has another size.
    """
    runs = _decompressed(counts) if isinstance(counts, str) else counts
    total = height * width
    if not isinstance(runs, list) or any(type(run) is not int or not 0 <= run <= total for run in runs):
        raise MaskError('its mask cannot be decoded')
    ends = np.cumsum(np.array(runs, np.int64))
    if not runs or len(runs) > total + 1 or ends[-1] != total:
        raise MaskError('its mask has another size than it says')
    first, last = ends[0:-1:2][: len(ends[1::2])], ends[1::2] - 1  # pixels of each run of 1
    first, last = first[first <= last], last[first <= last]
    if not len(first):
        raise MaskError('its mask is empty')
    is_whole = bool((first // height != last // height).any())  # a run over two columns reaches top and bottom
    y0, y1 = (0, height) if is_whole else ((first % height).min(), (last % height).max() + 1)
    return float(first.min() // height), float(y0), float(last.max() // height + 1), float(y1)


def _decompressed(text: str) -> list[int]:
    """Return the runs of COCO's text: groups of five bits, and differences to the run before the last."""
    runs: list[int] = []
    value = shift = 0
    for code in text.encode():
        bits = code - 48
        if not 0 <= bits < 64 or shift > 60:
            raise MaskError('its mask cannot be decoded')
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            value -= (1 << shift) if bits & 16 else 0
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    return runs


def _convert(annotated: list[tuple[Sample, Object]], path: Path, files: Files, faults: Faults) -> None:
    """Convert boxes if all of a file tell that they are not COCO's ``[x, y, width, height]`` in pixels."""
    chosen = files.choices.box_format
    boxes = np.array([item.box for _, item in annotated]).reshape(-1, 4)
    with np.errstate(all='ignore'):
        raw = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1)  # as they are written
        guessed = chosen or _convention(raw, np.array([sample.size or (0, 0) for sample, _ in annotated]))
    if guessed == 'xywh' or not len(boxes):
        return
    meaning = {'xyxy': 'boxes are corners', 'xywh-shares': 'boxes are in shares of the image'}
    if not chosen:
        what = meaning.get(guessed, 'boxes are corners in shares of the image')
        faults.guess(f'{what}, since all of the file fit', '--box-format xywh', str(path))
    for (_, item), (x, y, a, b) in zip(annotated, raw.tolist()):
        item.relative = guessed.endswith('shares')
        if guessed.startswith('xyxy'):
            item.box = (x, y, a, b)


def _convention(raw: np.ndarray, sizes: np.ndarray) -> str:
    """Return the convention of boxes ``(N, 4)``, of which all are in it, and some in no other; else COCO's."""
    if not np.isfinite(raw).all() or len(raw) == 0:
        return 'xywh'
    is_ordered = bool((raw[:, 2:] > raw[:, :2]).all())
    if ((raw >= 0) & (raw <= 1)).all() and (raw % 1 != 0).any():
        exceeds = (raw[:, :2] + raw[:, 2:] > 1.001).any()
        return 'xyxy-shares' if exceeds and is_ordered else 'xywh-shares'
    fits = (raw[:, 2:] <= sizes + 1).all() and (raw >= 0).all()
    exceeds = (raw[:, :2] + raw[:, 2:] > sizes + 1).any(axis=1)
    return 'xyxy' if len(raw) > 2 and is_ordered and fits and exceeds.any() else 'xywh'
