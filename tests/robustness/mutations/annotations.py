"""COCO annotation files: entries, objects, sizes and bytes.

Files that contradict themselves as a whole are in ``tests/datasets/test_checked_coco.py``.
"""

import copy
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..case import Bench, Case, replace
from .files import junk

NAN, INFINITY = float('nan'), float('inf')

OF_FILES = ('file_name', 'width', 'height')  # entries that are compared with the files of the images


@dataclass
class Edit:
    """
    Attributes:
        content: Of the mutated file: bytes, or what is written as JSON.
        expected: As of a case.
        clean: Content of the reference's file; the sound one by default.
    """

    what: str
    content: Any
    expected: str = 'refused'
    clean: Any = None
    report: str = ''
    names: list[str] = field(default_factory=list)
    entries: list[str] = field(default_factory=list)


def mutate(rng: random.Random, bench: Bench) -> Case:
    """An annotation file, read by an evaluation, a training or for a report."""
    command, file = rng.choice([('test', 'val.json'), ('train', 'train.json'), ('evaluate', 'val.json')])
    sound = json.loads((bench.sound / 'digits' / file).read_text())
    edit = rng.choice(EDITS)(rng, copy.deepcopy(sound))
    if command == 'evaluate' and edit.entries and edit.entries[0] in OF_FILES:
        edit.expected = 'either'  # saved predictions are evaluated, and few images are read
    if command == 'evaluate' and 'ids of images' in edit.what:
        edit.expected = 'refused'  # the predictions are of others
    replace(bench.mutated / 'digits' / file, _bytes(edit.content))
    if edit.clean is not None:
        replace(bench.reference / 'digits' / file, _bytes(edit.clean))
    return Case(
        f'{file}: {edit.what}', command, edit.expected, [*edit.names, file], edit.entries or [file], edit.report
    )


def _bytes(content: Any) -> bytes:
    return content if isinstance(content, bytes) else json.dumps(content).encode()


# Entries that have to be there, and values that they cannot have.
NO_ID = [None, 1.5, True, [], {}, '', NAN]
NO_SIZE = [None, 0, -64, 64.5, '64', [], {}, True, NAN, INFINITY, -INFINITY]
ENTRIES = {
    ('images', 'id'): NO_ID,
    ('images', 'file_name'): [
        None,
        3,
        '',
        [],
        {},
        'none.png',
        'val/../../none.png',
        'a\x00b.png',
        '/',
        '.',
        'x' * 5000,
    ],
    ('images', 'width'): [*NO_SIZE, 63, 65, 128, 10**30],
    ('images', 'height'): [*NO_SIZE, 63, 65, 128, 10**30],
    ('categories', 'id'): NO_ID,
    ('categories', 'name'): [None, 3, '', [], {}, 'zero', '\uff10'],
    ('annotations', 'image_id'): NO_ID,
    ('annotations', 'category_id'): [*NO_ID, 0, 11, -1, 10**20, '1'],
    ('annotations', 'bbox'): [
        *(None, 3, '1,2,3,4', [], {}, [1, 2, 3], [1, 2, 3, 4, 5], ['1', '2', '3', '4'], [None] * 4, [[1, 2], [3, 4]]),
        [True, 1, 2, 3],
    ],
    ('annotations', 'iscrowd'): [2, -1, 'no', [], {}, '1'],
}


def wrong_entry(rng: random.Random, content: dict) -> Edit:
    """One entry of one item deleted, misspelt, or of a value that it cannot have."""
    key, name = rng.choice(list(ENTRIES))
    i = rng.randrange(len(content[key]))
    item = content[key][i]
    how = rng.choice(['delete', 'misspell', 'value', 'value', 'value', 'value'])
    if how == 'value' or name == 'iscrowd':  # which has a default
        item[name] = rng.choice(ENTRIES[key, name])
        what = f'{key}[{i}].{name} = {str(item[name])[:40]!r}'
    else:
        value = item.pop(name)
        what = f'{key}[{i}].{name} deleted'
        if how == 'misspell':
            item[name + rng.choice('sx_ ')] = value
            what = f'{key}[{i}].{name} misspelt'
    names = [f'{i:05d}.png'] if key == 'images' else []  # whose pixels are counted, or which is not found
    names += ['none.png', "'/'"] if name == 'file_name' else []
    edit = Edit(what, content, names=names, entries=[name])
    if name == 'file_name' and str(item.get(name)) in ('/', '.'):
        edit.names += ['is a folder']
    if name == 'file_name' and len(str(item.get(name))) > 250:
        edit.names += [item[name][:100]]  # the message has its beginning
    return edit


def broken_bytes(rng: random.Random, content: dict) -> Edit:
    sound = json.dumps(content).encode()
    how, i = rng.choice(['junk', 'cut', 'nested', 'structure']), rng.randrange(1, len(sound))
    if how == 'structure':
        i = rng.choice([i for i, byte in enumerate(sound) if byte in b'{}[]:,"'])
        changed = sound[:i] + sound[i + 1 :]
    else:
        nested = rng.choice([b'[', b'{"a":']) * 200_000
        changed = {'junk': rng.choice([*junk(rng, sound).values()]), 'cut': sound[:i], 'nested': nested}[how]
    return Edit(f'bytes: {how} {i}', changed, 'refused' if _is_no_json(changed) else 'either')


def _is_no_json(content: bytes) -> bool:
    try:
        json.loads(content)
    except (ValueError, RecursionError):
        return True
    return False


def other_encoding(rng: random.Random, content: dict) -> Edit:
    """JSON may be read in any encoding of Unicode, or not: never with another content."""
    encoding = rng.choice(['utf-16', 'utf-32', 'utf-8-sig', 'utf-16-le', 'utf-16-be'])
    content['info'] = dict(description='Übung 数字')
    return Edit(encoding, json.dumps(content, ensure_ascii=False).encode(encoding), 'either')


# Boxes that cannot be used.
BOXES = {
    'NaN': [NAN, 1, 9, 9],
    'infinite': [1, 1, INFINITY, 9],
    'minus infinite': [-INFINITY, 1, 9, 9],
    'negative width': [9, 9, -5, 9],
    'negative height': [9, 9, 5, -9],
    'no width': [9, 9, 0, 9],
    'no height': [9, 9, 9, 0],
    'right of the picture': [64, 9, 9, 9],
    'far below the picture': [9, 1e308, 9, 9],
    'left of the picture': [-20, 9, 20, 9],
    'far larger than the picture': [1, 1, 1e30, 9],
    'a thousand times as large': [1, 1, 64_000, 64_000],
    'larger than a float32': [1, 1, 9, 1e308],
}


def unusable_object(rng: random.Random, content: dict) -> Edit:
    """An object that cannot be used is left out, and that is reported."""
    i = rng.randrange(len(content['annotations']))
    clean = copy.deepcopy(content)
    total = len(content['annotations'])
    del clean['annotations'][i]
    annotation = content['annotations'][i]
    if rng.random() < 0.2:
        annotation['image_id'] = rng.choice([0, 99, -1, '1', 'x'])
        what = f'image_id = {annotation["image_id"]!r}'
    else:
        name = rng.choice(list(BOXES))
        annotation['bbox'], what = BOXES[name], f'bbox {name}'
    return Edit(f'annotations[{i}].{what}', content, 'same', clean, f'1 of {total} annotations left out')


def harmless(rng: random.Random, content: dict) -> Edit:
    """What has a default, is not used, or tells nothing."""
    annotations = content['annotations']
    how = rng.choice(list(HARMLESS))
    HARMLESS[how](rng, content, rng.choice(annotations))
    return Edit(f'harmless: {how}', content, 'same')


def _renumber(rng: random.Random, content: dict, _: dict) -> None:
    start = rng.choice([0, 1000, -3, 2**40])
    for i, annotation in enumerate(content['annotations']):
        annotation['id'] = start + i


def _other_image_ids(rng: random.Random, content: dict, _: dict) -> None:
    """Texts, as of Open Images, or large numbers."""
    new = rng.choice([lambda n: f'img{n}', lambda n: n + 2**40, lambda n: n - 1])
    for image in content['images']:
        image['id'] = new(image['id'])
    for annotation in content['annotations']:
        annotation['image_id'] = new(annotation['image_id'])


HARMLESS: dict[str, Callable] = {
    'area missing': lambda rng, content, annotation: annotation.pop('area'),
    'area is nothing': lambda rng, content, annotation: annotation.update(
        area=rng.choice([None, 0, -5, NAN, INFINITY, '9', [], True])
    ),
    'iscrowd missing': lambda rng, content, annotation: annotation.pop('iscrowd'),
    'iscrowd null': lambda rng, content, annotation: annotation.update(iscrowd=rng.choice([None, False, 0.0])),
    'id missing': lambda rng, content, annotation: annotation.pop('id'),
    'id of another kind': lambda rng, content, annotation: annotation.update(
        id=rng.choice([None, 'x', 1.5, 0, -1, True, NAN, 10**400, 1, 2])
    ),
    'ids anew': _renumber,
    'ids of images anew': _other_image_ids,
    'more entries': lambda rng, content, annotation: annotation.update(
        {rng.choice(['score', 'attributes', 'keypoints', 'caption', '']): rng.choice([None, 'x', [], {'a': NAN}])}
    ),
    'segmentation of any kind': lambda rng, content, annotation: annotation.update(
        segmentation=rng.choice([None, [], [[1, 2]], {'counts': 'x', 'size': [1, 2]}, 'x', [[1] * 9], 7])
    ),
    'more lists': lambda rng, content, annotation: content.update(
        {rng.choice(['info', 'licenses', 'type', 'x']): rng.choice([None, 7, 'x', [], [None], {'a': []}])}
    ),
    'entries of images': lambda rng, content, annotation: rng.choice(content['images']).update(
        {rng.choice(['license', 'coco_url', 'date_captured', 'instances', 'img']): rng.choice([None, 'x', 3, []])}
    ),
    'supercategory of any kind': lambda rng, content, annotation: rng.choice(content['categories']).update(
        supercategory=rng.choice([None, 3, '', []])
    ),
    'sizes as decimals': lambda rng, content, annotation: content['images'][0].update(width=64.0, height=64.0),
    'boxes as decimals': lambda rng, content, annotation: annotation.update(
        bbox=[float(n) for n in annotation['bbox']]
    ),
    'a category more': lambda rng, content, annotation: content['categories'].append(
        rng.choice([dict(id=77, name='none'), dict(id='x', name='none')])
    ),
}

EDITS = [
    *(wrong_entry, wrong_entry, wrong_entry, broken_bytes, other_encoding),
    *(unusable_object, unusable_object, harmless, harmless),
]
