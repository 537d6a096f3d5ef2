"""COCO result files for ``tools/evaluate.py``, as the predictions or as what they are compared with."""

import copy
import json
import os
import random
from typing import Any

from ..case import Bench, Case, replace

NAN, INFINITY = float('nan'), float('inf')

# Entries that a prediction has to have, and values that they cannot have.
ENTRIES: dict[str, list] = {
    'image_id': [None, 'x', 999, 1.5, [], {}, NAN, -1, 10**30],
    'category_id': [None, 'x', 999, 1.5, [], {}, NAN, -1, 10**30],
    'score': [None, 'x', [], {}, NAN, INFINITY, -INFINITY],
    'bbox': [None, 'x', [], {}, [1, 2, 3], [1, 2, 3, 4, 5], ['1'] * 4, [None] * 4, [NAN] * 4, [1, 1, INFINITY, 1], 5],
}

BOXES: list = [[1, 1, -5, 5], [0, 0, 0, 0], [1e300] * 4, [10**400] * 4]


def mutate(rng: random.Random, bench: Bench) -> Case:
    """A file of predictions, of which an entry or the whole is changed."""
    name = rng.choice(['predictions.json', 'compared.json'])
    path, content = bench.mutated / name, json.loads((bench.sound / 'predictions.json').read_text())
    what, expected, changed, entries = rng.choice(MUTATIONS)(rng, copy.deepcopy(content))
    path.unlink(missing_ok=True)
    if what.startswith('is '):
        _make_no_file(path, what)
    else:
        replace(path, changed if isinstance(changed, bytes) else json.dumps(changed))
    options = ['--compare', name] if name == 'compared.json' else []
    if options and expected != 'refused':
        expected = 'any'
    return Case(f'{name}: {what}', 'evaluate', expected, [name], [*entries, name], options=options)


def _make_no_file(path, what: str) -> None:
    if what == 'is a folder':
        path.mkdir()
    elif what == 'is a pipe':
        os.mkfifo(path)
    else:
        path.symlink_to(path.name if what == 'is a link to itself' else 'gone.json')


Change = tuple[str, str, Any, list[str]]  # what was done, what is expected, the content, names of the entry


def wrong_entry(rng: random.Random, content: list[dict]) -> Change:
    i, name = rng.randrange(len(content)), rng.choice(list(ENTRIES))
    if rng.random() < 0.25:
        value = content[i].pop(name)
        if rng.random() < 0.5:
            content[i][f'{name}_'] = value
        return f'[{i}].{name} missing', 'refused', content, [name]
    content[i][name] = rng.choice(ENTRIES[name])
    return f'[{i}].{name} = {content[i][name]!r:.40}', 'refused', content, [name]


def absurd_entry(rng: random.Random, content: list[dict]) -> Change:
    i = rng.randrange(len(content))
    name, values = rng.choice([('score', [5.0, -1, True, 10**400]), ('bbox', BOXES), ('note', ['x'])])
    change = {name: rng.choice(values)}
    content[i].update(change)
    return f'[{i}]: {change!s:.40}', 'same' if 'note' in change else 'any', content, list(change)


def other_items(rng: random.Random, content: list[dict]) -> Change:
    i = rng.randrange(len(content))
    content[i] = rng.choice([None, 5, 'x', [], {}, [content[i]]])
    return f'[{i}] = {content[i]!r:.30}', 'refused', content, [f'[{i}]']


def other_top(rng: random.Random, content: list[dict]) -> Change:
    top = rng.choice([None, 5, 'x', {}, [[]], {'annotations': content}, {'0': content[0]}, True, NAN])
    return f'top level: {top!r:.30}', 'refused', top, []


def other_number(rng: random.Random, content: list[dict]) -> Change:
    changed = rng.choice([[], content * 2, content[:1], content * 50])
    return f'{len(changed)} predictions', 'any', changed, []


def other_bytes(rng: random.Random, content: list[dict]) -> Change:
    sound = json.dumps(content).encode()
    changed = {
        'cut': sound[: rng.randrange(1, len(sound))],
        'empty': b'',
        'garbage': rng.randbytes(500),
        'nested': b'[' * 100_000,
        'a page': b'<!DOCTYPE html>',
        'twice': sound * 2,
        'UTF-16': sound.decode().encode('utf-16'),
    }
    how = rng.choice(list(changed))
    return f'bytes: {how}', 'either' if how == 'UTF-16' else 'refused', changed[how], []


def no_file(rng: random.Random, content: list[dict]) -> Change:
    return rng.choice(['is a folder', 'is a pipe', 'is a link to itself', 'is missing']), 'refused', b'', []


MUTATIONS = [
    wrong_entry,
    wrong_entry,
    wrong_entry,
    absurd_entry,
    other_items,
    other_top,
    other_number,
    other_bytes,
    no_file,
]
