"""Configs: entries misspelt, missing, of another type or sign, paths, classes, and text that is no Python."""

import random
from typing import Any

from mmengine.config import Config

from ..case import Bench, Case, replace

COMMANDS_OF_CONFIGS = {
    'test': 'detector.py',
    'train': 'detector.py',
    'test classifier': 'classifier.py',
    'test dfine': 'dfine.py',
    'train dfine': 'dfine.py',
    'demo': 'detector.py',
    'fold': 'detector.py',
    'deploy': 'detector.py',
    'resume': 'detector.py',
}
# What each command reads of a config; the rest may be anything.
READ = {
    'test': ['model', 'test_dataloader', 'test_evaluator', 'test_cfg'],
    'train': [
        *('model', 'train_dataloader', 'val_dataloader', 'val_evaluator', 'train_cfg', 'optim_wrapper'),
        *('param_scheduler', 'custom_hooks', 'default_hooks'),
    ],
    'test classifier': ['model', 'test_dataloader', 'test_evaluator'],
    'demo': ['model'],
    'fold': ['model'],
    'deploy': ['test_dataloader', 'test_evaluator'],
    'resume': ['model', 'optim_wrapper', 'param_scheduler', 'train_dataloader'],
}
WEIGHTS = ['detector.pth', 'dfine.pth', 'classifier.pth', 'resumable.pth']
PATHS = ['data_root', 'ann_file', 'data_prefix']  # one path is made of two of them, and either may be named
Path = tuple[Any, ...]
Change = tuple  # what was done, what is expected, the entry's path, and other files or options that may be named


def mutate(rng: random.Random, bench: Bench) -> Case:
    """A config, read by any tool: all of its entries are written out, or the text is changed."""
    command = rng.choice(list(COMMANDS_OF_CONFIGS))
    name = COMMANDS_OF_CONFIGS[command]
    if rng.random() < 0.2:
        text, what, expected = broken_text(rng, (bench.sound / name).read_text())
        replace(bench.mutated / name, text)
        return Case(f'{name}: {what}', command, expected, [name, 'quick.py', '_none.py'], [name])
    content = Config.fromfile(bench.sound / name).to_dict()
    change = rng.choice(MUTATIONS)
    what, expected, path, *others = change(rng, content, READ[command.removesuffix(' dfine')])
    replace(bench.mutated / name, ''.join(f'{key} = {value!r}\n' for key, value in content.items()))
    entries = [str(part) for part in path[-2:] if isinstance(part, str)]
    if set(PATHS) & set(entries):
        others += [*PATHS, 'digits/']  # or the image that is not found there
    return Case(f'{name}: {what}', command, expected, [name, *entries[-1:], *others], entries)


def broken_text(rng: random.Random, text: str) -> tuple[str, str, str]:
    """No Python, or Python that fails."""
    how = rng.choice(['cut', 'bracket', 'name', 'base', 'empty', 'import', 'garbage', 'indent', 'raise', 'binary'])
    changed = {
        'cut': text[: text.rindex('dict(') + 5],
        'bracket': text.replace(')', '', 1),
        'name': text + 'x = undefined_name\n',
        'base': text.replace('_quick.py', '_none.py'),
        'empty': '',
        'import': text + "custom_imports = dict(imports=['no_such_module'])\n",
        'garbage': 'not python at all\n' + text,
        'indent': '  ' + text,
        'raise': text + 'x = 1 / 0\n',
        'binary': 'x = "\0"\n' + text,
    }
    return changed[how], f'text: {how}', 'refused'


def _leaves(content: Any, path: Path = ()) -> list[Path]:
    """Paths of all that is no dict or list of dicts."""
    if isinstance(content, dict):
        return [leaf for key, value in content.items() for leaf in _leaves(value, (*path, key))]
    if isinstance(content, list) and content and isinstance(content[0], dict):
        return [leaf for i, value in enumerate(content) for leaf in _leaves(value, (*path, i))]
    return [path]


def _holder(content: Any, path: Path) -> Any:
    for part in path[:-1]:
        content = content[part]
    return content


def _pick(rng: random.Random, content: dict, read: list[str], *kinds: type) -> Path:
    """The path of an entry, of these kinds, that the command reads."""
    leaves = [path for key in read if key in content for path in _leaves(content[key], (key,))]
    leaves = [path for path in leaves if type(_holder(content, path)[path[-1]]) in kinds]
    return rng.choice(leaves)


def _dotted(path: Path) -> str:
    return '.'.join(map(str, path))


def misspelt(rng: random.Random, content: dict, read: list[str]) -> Change:
    """A key that nothing knows."""
    path = _pick(rng, content, read, int, float, str, list, tuple, bool)
    holder, key = _holder(content, path), path[-1]
    wrong = rng.choice([f'{key}s', f'{key}_', key[:-1], key.upper(), key.replace('_', '')])
    wrong = f'{key}x' if wrong in holder else wrong
    holder[wrong] = holder.pop(key)
    return f'{_dotted(path)} misspelt as {wrong}', 'either', (*path[:-1], wrong, key)


def of_another_type(rng: random.Random, content: dict, read: list[str]) -> Change:
    """A number where a text belongs, and so on; where the entry has no effect, the result is the same."""
    path = _pick(rng, content, read, int, float, str, list, tuple)
    holder, key = _holder(content, path), path[-1]
    value = holder[key]
    wrong: list[Any] = [{'a': 1}, [], 'garbage', {'type': 'NoSuchThing'}, object]
    wrong = wrong[:4] + ([3.5, ''] if isinstance(value, str | list | tuple) else [])
    holder[key] = rng.choice(wrong)
    return f'{_dotted(path)} = {holder[key]!r} instead of {value!r}', 'either', path


def negative(rng: random.Random, content: dict, read: list[str]) -> Change:
    """Numbers below zero where there are only numbers above."""
    path = _pick(rng, content, read, int, float)
    holder, key = _holder(content, path), path[-1]
    value = holder[key]
    holder[key] = rng.choice([-1, -value if value else -1, -1000])
    expected = 'any' if key == 'indices' else 'either'  # mmengine takes the last ones
    return f'{_dotted(path)} = {holder[key]} instead of {value}', expected, path


def section_missing(rng: random.Random, content: dict, read: list[str]) -> Change:
    """What a tool cannot do without."""
    needed = {
        ('model',): 'refused',
        ('model', 'type'): 'refused',
        ('model', 'backbone'): 'refused',
        ('model', 'backbone', 'type'): 'refused',
        ('test_dataloader', 'dataset', 'type'): 'refused',
        ('test_dataloader', 'dataset'): 'refused',
        ('test_evaluator', 'type'): 'refused',
        ('train_dataloader', 'dataset', 'type'): 'refused',
        ('train_dataloader',): 'refused',
        ('optim_wrapper', 'optimizer'): 'refused',
        ('optim_wrapper', 'optimizer', 'type'): 'refused',
        ('optim_wrapper',): 'refused',
        ('train_cfg',): 'refused',
    }
    path = rng.choice([path for path in needed if path[0] in read])
    del _holder(content, path)[path[-1]]
    return f'{_dotted(path)} missing', needed[path], path


def section_of_another_kind(rng: random.Random, content: dict, read: list[str]) -> Change:
    path: Path = (rng.choice([key for key in read if content.get(key)]),)
    inner = (
        [key for key, value in content[path[0]].items() if isinstance(value, dict) and value]
        if isinstance(content[path[0]], dict)
        else []
    )
    if inner and rng.random() < 0.7:
        path = (*path, rng.choice(inner))
    _holder(content, path)[path[-1]] = value = rng.choice([5, 'text', [], True, [1], [None], 0.5])
    return f'{_dotted(path)} = {value!r}', 'either', path


def wrong_classes(rng: random.Random, content: dict, read: list[str]) -> Change:
    """Another number of classes than there are in data and weights."""
    count = rng.choice([1, 9, 11, 80, 0, -1])
    head = 'bbox_head' if 'bbox_head' in content['model'] else 'head'
    if 'model' in read:
        content['model'][head]['num_classes'] = count
        path: Path = ('model', head, 'num_classes')
    else:
        names = tuple('0123456789')
        order = rng.choice([names[::-1], names[1:] + names[:1], ('a', *names[1:])])
        content['test_dataloader']['dataset']['metainfo'] = dict(classes=order)
        path = ('test_dataloader', 'dataset', 'metainfo', 'classes')
    # what disagrees is config and weights, or config and data: either may be named
    return f'{_dotted(path)} is wrong', 'refused', path, *WEIGHTS, 'val.json'


def wrong_path(rng: random.Random, content: dict, read: list[str]) -> Change:
    """Data that is not there, is of another kind, or is that of something else."""
    loaders = [key for key in read if key.endswith('dataloader') and 'ann_file' in content[key]['dataset']]
    if not loaders:
        return misspelt(rng, content, read)
    loader = rng.choice(loaders)
    key = rng.choice(['data_root', 'ann_file', 'data_prefix'])
    wrong = rng.choice(['nowhere/', '/dev/null', 'detector.py', '', 'digits/train.json/x'])
    content[loader]['dataset'][key] = dict(img=wrong) if key == 'data_prefix' else wrong
    return f'{loader}.dataset.{key} = {wrong!r}', 'refused', (loader, 'dataset', key), *filter(None, [wrong])


def unknown_type(rng: random.Random, content: dict, read: list[str]) -> Change:
    leaves = [path for key in read if key in content for path in _leaves(content[key], (key,)) if path[-1] == 'type']
    path = rng.choice(leaves)
    before = _holder(content, path)['type']
    after = rng.choice([before + 'x', before.lower(), 'mmdet.NoSuchThing', '', None, 5])
    _holder(content, path)['type'] = after
    return f'{_dotted(path)} = {after!r} instead of {before}', 'either', (*path, str(after))


MUTATIONS = [
    *(misspelt, misspelt, of_another_type, of_another_type, negative, section_missing, section_of_another_kind),
    *(wrong_classes, wrong_path, unknown_type),
]
