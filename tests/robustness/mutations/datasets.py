"""Datasets for ``tools/prepare_dataset.py``: entries, bytes and trees of each format that it reads.

Each mutation is one that a reader can notice. An object that is not there, or another number within the image, is a
dataset as good as the sound one.
"""

import json
import random
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..case import Bench, Case, replace
from ..layouts import LAYOUTS
from .files import NO_FILES, junk, make_no_file
from .trees import CHANGES, Change, other_size

NAN, INFINITY = float('nan'), float('inf')
NO_NUMBER = [None, 'x', '', [], {}, NAN, INFINITY, -INFINITY, [1], '1,5']
NO_TEXT = [None, '', '  ', [], {}, [1], {'a': 1}]
FAR = [-1e5, 1e9, -(10**30), 10**30, 10**400]
FREE = {'rotation'}  # any number is as good as another
MAY_BE_EMPTY = {'annotations', 'regions', 'result', 'shapes', 'objects'}  # of an image without objects
WITHOUT_SIZE = {'yolo', 'via'}  # layouts that do not say how large an image is
LABELS = {'name', 'label', 'classTitle', 'rectanglelabels', 'part'}


def mutate(rng: random.Random, bench: Bench) -> Case:
    """A dataset in one of the layouts, of which a file or the tree is changed."""
    layout = rng.choice(list(LAYOUTS))
    folder = bench.mutated / 'layouts' / layout
    images = sorted(folder.rglob('*.png'))
    if rng.random() < 0.4:
        make = rng.choice(CHANGES)
        change = make(rng, rng.choice(images))
        if make is other_size and layout in WITHOUT_SIZE:
            change.expected = 'any'
    else:
        path = rng.choice([path for path in sorted(folder.rglob('*')) if path.is_file() and path not in images])
        readers: dict[str, list[Edit]] = {
            '.json': [json_entry] * 4 + [json_bytes],
            '.xml': [xml_entry] * 4 + [xml_bytes],
            '.txt': [label_line] * 4 + [text_bytes],
            '.yaml': [yaml_entry],
        }
        edit = rng.choice([*readers[path.suffix], any_bytes, beside])
        if path.parent.name == 'Main':
            edit = rng.choice([image_set, any_bytes, beside])
        change = edit(rng, path)
        change.entries += [path.name, path.stem]
    options = [f'layouts/{layout}', *(['--strict'] if rng.random() < 0.2 else [])]
    names = [f'layouts/{layout}', *change.names]
    return Case(f'{layout}: {change.what}', 'prepare', change.expected, names, change.entries, options=options)


Edit = Callable[[random.Random, Path], Change]


def nodes(value: Any, path: tuple = ()) -> Iterator[tuple[tuple, Any, Any]]:
    """Iterate over ``(keys that lead to it, container, key)`` of all values in dicts and lists."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        yield (*path, key), value, key
        if isinstance(inner, dict | list):
            yield from nodes(inner, (*path, key))


def json_entry(rng: random.Random, path: Path) -> Change:
    """A value of a JSON file is missing, misspelt, or one that it cannot be."""
    content = json.loads(path.read_text())
    where, container, key = rng.choice(list(nodes(content)))
    value = container[key]
    label = next((name for name in reversed(where) if isinstance(name, str)), '')
    how = rng.choice(['delete', 'misspell', 'value', 'value', 'value'])
    if isinstance(key, int) and not (isinstance(value, int | float) and how == 'delete'):
        how = 'value'  # a shorter list is a dataset as good, but for one of numbers
    if key == 'iscrowd':
        how = 'value'
    if how == 'delete':
        container.pop(key)
    elif how == 'misspell':
        container[f'{key}{rng.choice("sx_ ")}'] = container.pop(key)
    else:
        container[key] = _garbage(rng, value, label)
        how = f'{container[key]!r:.40}'
    replace(path, json.dumps(content))
    return Change(f'{path.name}: {".".join(map(str, where))}: {how}', 'reported')


def _garbage(rng: random.Random, value: Any, label: str) -> Any:
    if value is None or isinstance(value, bool):
        return rng.choice([1, 'x', [], {}])
    if isinstance(value, int | float):
        return rng.choice([*NO_NUMBER, *FAR] if label not in FREE else NO_NUMBER)
    if isinstance(value, str):
        return rng.choice(NO_TEXT if label in LABELS else [*NO_TEXT, 'x' * 300, '../none.png', 'a\0b', 5])
    garbage = [None, 5, 'x', [[]], {'a': 1}, [5, 'x'], [value], True]
    return rng.choice(garbage if label in MAY_BE_EMPTY else [*garbage, [], {}])


def xml_entry(rng: random.Random, path: Path) -> Change:
    """An element or attribute is missing, misspelt, or of another value."""
    tree = ElementTree.parse(path)
    elements = [(parent, element) for parent in tree.iter() for element in parent]
    parent, element = rng.choice([pair for pair in elements if pair[1].tag not in ('difficult', 'depth')])
    texts = ['', ' ', 'x', 'NaN', 'inf', '1e9', '-100000', '1,5', '1_0', '9' * 400]
    if element.attrib and rng.random() < 0.8:
        key = rng.choice(list(element.attrib))
        how = rng.choice(['delete', 'misspell', 'value', 'value'])
        value = element.attrib.pop(key)
        if how == 'misspell':
            element.set(f'{key}_', value)
        elif how == 'value':
            element.set(key, rng.choice(['', ' '] if key in LABELS else texts))
        what = f'{element.tag}.{key}: {element.get(key, how)[:20]!r}'
    elif len(element) or element.tag in ('box', 'polygon') or rng.random() < 0.3:
        element.tag += rng.choice(['s', '_'])
        what = f'{element.tag} misspelt'
    elif rng.random() < 0.3:
        parent.remove(element)
        what = f'{element.tag} deleted'
    else:
        element.text = rng.choice(['', ' '] if element.tag in LABELS else texts)
        what = f'{element.tag} is {element.text[:20]!r}'
    replace(path, ElementTree.tostring(tree.getroot()))
    return Change(f'{path.name}: {what}', 'reported')


def label_line(rng: random.Random, path: Path) -> Change:
    """A line of a YOLO label file."""
    lines = path.read_text().splitlines()
    i = rng.randrange(len(lines))
    tokens = lines[i].split()
    j = rng.randrange(len(tokens))
    how = rng.choice(['drop', 'value', 'value', 'value', 'commas', 'more', 'line'])
    if how == 'drop':
        del tokens[j]
    elif how == 'value':
        wrong = ['x', 'nan', 'inf', '-inf', '1e9', '-5', '1_0', '0x1', '1e400', '', '9' * 400]
        tokens[j] = rng.choice(['99', '-1', '0.5', 'bolt', 'nan', '1e400'] if j == 0 else wrong)
    elif how == 'more':
        tokens += rng.choice([['x'], ['1', '2', '3'], ['0.5'] * 4 + ['nan'], ['0.1', '0.2', '0.3']])
    lines[i] = ','.join(tokens) if how == 'commas' else ' '.join(tokens)
    if how == 'line':
        lines.insert(i, rng.choice(['x', '0', '0 0.5 0.5', '# a comment', '0 nan nan nan nan', '0 0.5 0.5 0 0']))
    replace(path, '\n'.join(lines) + '\n')
    return Change(f'{path.name}: line {i + 1}: {lines[i][:40]!r}', 'reported')


def image_set(rng: random.Random, path: Path) -> Change:
    """A list of ImageSets/Main: a name that is not there, is missing, or is in both lists."""
    lines = path.read_text().splitlines()
    how = rng.choice(['gone', 'missing', 'other', 'empty', 'suffix', 'blanks'])
    i = rng.randrange(len(lines))
    changed = dict(
        gone=[*lines, 'gone'], missing=lines[:i] + lines[i + 1 :], empty=[], suffix=[f'{x}.png' for x in lines]
    )
    other = path.with_name('train.txt' if path.stem == 'val' else 'val.txt').read_text().splitlines()
    changed |= dict(other=[*lines, other[0]], blanks=[f'  {x}\t' for x in lines])
    replace(path, '\n'.join(changed[how]) + '\n')
    return Change(f'{path.name}: {how}', 'reported', ['gone', lines[i], other[0], *lines])


def json_bytes(rng: random.Random, path: Path) -> Change:
    content = path.read_bytes()
    how = rng.choice(['cut', 'structure', 'nested', 'twice', 'utf-16', 'utf-8-sig', 'Latin'])
    if how == 'structure':
        i = rng.choice([i for i, byte in enumerate(content) if byte in b'{}[]:'])
        content = content[:i] + content[i + 1 :]
    changed = {
        'cut': content[: rng.randrange(1, len(content) - 1)],
        'nested': b'[' * 100_000,
        'twice': content * 2,
        'utf-16': content.decode().encode('utf-16'),
        'utf-8-sig': b'\xef\xbb\xbf' + content,
        'Latin': content.replace(b'part_', b'p\xe4rt_'),
    }
    replace(path, changed.get(how, content))
    return Change(f'{path.name}: bytes: {how}', 'reported')


def xml_bytes(rng: random.Random, path: Path) -> Change:
    content = path.read_bytes()
    bomb = (
        b'<!DOCTYPE x [<!ENTITY a "'
        + b'x' * 1000
        + b'">'
        + b''.join(b'<!ENTITY %c "%s">' % (98 + i, b'&%c;' % (97 + i) * 50) for i in range(8))
        + b']>'
    )
    how = rng.choice(['cut', 'structure', 'bomb', 'external', 'utf-16', 'namespace', 'Latin', 'nested', 'comment'])
    if how == 'structure':
        i = rng.choice([i for i, byte in enumerate(content) if byte in b'<>/'])
        content = content[:i] + content[i + 1 :]
    root = content[1:].partition(b'>')[0].split()[0]
    changed = {
        'cut': content[: rng.randrange(1, len(content) - 1)],
        'bomb': bomb + content.replace(b'bolt', b'&i;'),
        'external': b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/hostname">]>' + content.replace(b'bolt', b'&e;'),
        'utf-16': content.decode().encode('utf-16'),
        'namespace': content.replace(b'<' + root, b'<' + root + b' xmlns="urn:x"', 1),
        'Latin': content.replace(b'bolt', b'b\xf6lt').replace(b'nut', b'n\xfct').replace(b'washer', b'w\xe4sher'),
        'nested': b'<annotation>' * 100_000,
        'comment': content.replace(b'><', b'><!-- x --><', 3),
    }
    replace(path, changed.get(how, content))
    return Change(f'{path.name}: bytes: {how}', 'reported')


def text_bytes(rng: random.Random, path: Path) -> Change:
    content = path.read_bytes()
    how = rng.choice(['cut', 'utf-16', 'utf-8-sig', 'NUL', 'CRLF', 'tabs', 'huge'])
    changed = {
        'cut': content[: content.rindex(b' ') + 1],
        'utf-16': content.decode().encode('utf-16'),
        'utf-8-sig': b'\xef\xbb\xbf' + content,
        'NUL': content + b'\0' * 99,
        'CRLF': content.replace(b'\n', b'\r\n'),
        'tabs': content.replace(b' ', b'\t'),
        'huge': content + b'1 ' * 1_000_000,
    }
    replace(path, changed[how])
    return Change(f'{path.name}: bytes: {how}', 'reported')


def yaml_entry(rng: random.Random, path: Path) -> Change:
    """What people and hostile ones write into a data.yaml."""
    text = path.read_text()
    bomb = 'a0: &a0 [x, x]\n' + ''.join(f'a{i}: &a{i} [{", ".join([f"*a{i - 1}"] * 9)}]\n' for i in range(1, 12))
    edits = {
        'names missing': text[: text.index('names:')],
        'names are one text': text[: text.index('names:')] + 'names: bolt\n',
        'a name missing': text.replace('  1: nut\n', ''),
        'a name too few': text.replace('  2: washer\n', ''),
        'a name too many': text + '  3: screw\n',
        'number of classes': text.replace('nc: 3', f'nc: {rng.choice(["4", "x", "-1", "[3]", "1e9", "3.5"])}'),
        'a key of a name': text.replace('  2:', f'  {rng.choice(["3", "x", "-1", "1", "2.5", "[2]", "1e400"])}:'),
        'a name is a list': text.replace('nut', rng.choice(['[nut]', '{a: b}', '', '""', '" "'])),
        'two names are equal': text.replace('nut', 'bolt'),
        'no training set': text.replace('train: images/train\n', ''),
        'no validation set': text.replace('val: images/val\n', ''),
        'a folder is not there': text.replace('images/val', 'images/none'),
        'a folder is a number': text.replace(
            'images/val', rng.choice(['5', '[]', '{a: b}', '[5]', '/', '..', '/dev/zero'])
        ),
        'both are one': text.replace('images/val', 'images/train'),
        'path': text.replace('path: .', f'path: {rng.choice(["/none", "[]", "..", "{a: b}", "~", "", "/dev"])}'),
        'a tab': text.replace('  1:', '\t1:'),
        'cut': text[: text.index('nut') - 2],
        'broken': text + rng.choice(['[', ': :', '"', '\x00', '}\n', '- a\n', '&', '*x\n', '%\n']),
        'code': text.replace('nut', '!!python/object/apply:os.system ["touch ran"]'),
        'a bomb': bomb + text.replace('  1: nut', '  1: *a11'),
        'two documents': text + '---\n' + text,
        'twice': text + text,
        'a list': '- a\n- b\n',
        'empty': '',
        'nested': '[' * 50_000,
    }
    how = rng.choice(list(edits))
    replace(path, edits[how])
    return Change(f'{path.name}: {how}', 'reported')


def any_bytes(rng: random.Random, path: Path) -> Change:
    """The whole file is something else."""
    content = {name: value for name, value in junk(rng, b'').items() if value} | {'a number': b'5'}
    how = rng.choice([*content, *NO_FILES])
    if how in content:
        replace(path, content[how])
    else:
        make_no_file(path, how)
    is_lost = how in ('missing', 'a folder')  # the images of the file are what is there to be reported
    return Change(f'{path.name} is {how}', 'reported', ['part_'] if is_lost else [])


def beside(rng: random.Random, path: Path) -> Change:
    """A copy of an annotation file, whole or damaged, as people keep them."""
    name = rng.choice(
        [f'copy of {path.name}', f'{path.stem} (1){path.suffix}', f'deeper/{path.name}', f'{path.name}.bak']
    )
    target, content = path.parent / name, path.read_bytes()
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(rng.choice([content, content[: len(content) // 2], b'']))
    return Change(f'{name} is there', 'reported', [target.name, target.stem, path.stem])
