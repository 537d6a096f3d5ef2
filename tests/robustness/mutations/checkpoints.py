"""Checkpoints: bytes, pickles, weights and what else is beside the weights."""

import copy
import io
import pickle
import random
import zipfile
from collections.abc import Callable
from typing import Any

import torch

from ..case import Bench, Case, replace
from .files import NO_FILES, edited, junk, make_no_file

# Which checkpoint each command reads.
READERS = {
    'test': 'detector.pth',
    'test classifier': 'classifier.pth',
    'test dfine': 'dfine.pth',
    'load_from': 'detector.pth',
    'resume': 'resumable.pth',
    'demo': 'detector.pth',
    'fold': 'detector.pth',
    'fold dfine': 'dfine.pth',
    'publish': 'detector.pth',
    'convert rtdetr': 'rtdetr_authors.pth',
    'convert dfine': 'dfine_authors.pth',
    'convert spartan': 'spartan_authors.pth',
}
OURS = [command for command in READERS if 'convert' not in command]


class Checkpoint:
    """A checkpoint of a bench, read by one of the commands."""

    def __init__(self, bench: Bench, command: str):
        self.bench, self.command, self.name = bench, command, READERS[command]
        self.path = bench.mutated / self.name
        self.bytes = self.path.read_bytes()

    def load(self) -> dict:
        return torch.load(self.path, weights_only=True)

    def save(self, content: Any) -> None:
        replace(self.path, saved(content))

    def refer_to(self, content: Any) -> None:
        """What the mutated checkpoint has to amount to."""
        replace(self.bench.reference / self.name, saved(content))

    def case(self, what: str, expected: str, entries: list[str] | None = None, **more) -> Case:
        return Case(f'{self.name}: {what}', self.command, expected, [self.name], entries or [], **more)


def mutate(rng: random.Random, bench: Bench) -> Case:
    """A checkpoint, read by any tool."""
    change = rng.choice(MUTATIONS)
    commands = OURS if change is other_meta else list(READERS)
    return change(rng, Checkpoint(bench, rng.choice(commands)))


def saved(content: Any, **options) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


def weights_of(content: dict) -> dict:
    """The weights inside of ours, or of the authors' files."""
    return content['state_dict'] if 'state_dict' in content else content['model']


def broken_bytes(rng: random.Random, checkpoint: Checkpoint) -> Case:
    content = {
        **junk(rng, checkpoint.bytes),
        'another archive': _archive({'readme.txt': b'nothing'}),
        'a plain pickle': pickle.dumps({'state_dict': {'a': 1}}),
    }
    how = rng.choice(list(content))
    replace(checkpoint.path, content[how])
    return checkpoint.case(f'bytes: {how}', 'refused')


def _archive(files: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, 'w') as file:
        for name, data in files.items():
            file.writestr(name, data)
    return content.getvalue()


def bytes_changed(rng: random.Random, checkpoint: Checkpoint) -> Case:
    """Anywhere: in weights a checksum tells, in the padding between them nothing does, and nothing is lost."""
    size = len(checkpoint.bytes)
    place = size - 1 - rng.randrange(3000) if rng.random() < 0.3 else rng.randrange(size)  # of the directory
    what, content = edited(rng, checkpoint.bytes, place)
    replace(checkpoint.path, content)
    return checkpoint.case(what, 'either')


# What no floating-point weight can be.
NO_WEIGHTS: dict[str, Callable[[torch.Tensor], Any]] = {
    'int8': lambda value: value.to(torch.int8),
    'int64': lambda value: value.long(),
    'bool': lambda value: value.bool(),
    'complex64': lambda value: value.to(torch.complex64),
    'sparse': lambda value: value.to_sparse(),
    'meta': lambda value: value.to('meta'),
    'quantized': lambda value: torch.quantize_per_tensor(value.float(), 0.1, 0, torch.qint8),
    'NaN': lambda value: value.flatten().index_fill(0, torch.tensor([0]), float('nan')).view(value.shape),
    'infinite': lambda value: value.flatten().index_fill(0, torch.tensor([0]), float('inf')).view(value.shape),
    'None': lambda value: None,
    'a number': lambda value: 0.5,
    'a list': lambda value: value.tolist(),
    'a text': lambda value: 'x',
    'empty': lambda value: value[:0],
    'one dimension more': lambda value: value[None],
    'one row more': lambda value: torch.cat([value, value[:1]]),
    'twice as long': lambda value: torch.cat([value, value]),
    'float8': lambda value: value.to(torch.float8_e4m3fn),
}


def _float_key(rng: random.Random, weights: dict) -> str:
    """A weight that has at least a dimension; RT-DETR's anchors may be infinite, and are computed anew."""
    usable = [
        key
        for key, value in weights.items()
        if isinstance(value, torch.Tensor) and value.is_floating_point() and value.ndim and 'anchors' not in key
    ]
    return rng.choice(usable)


def broken_weight(rng: random.Random, checkpoint: Checkpoint) -> Case:
    content = checkpoint.load()
    weights = weights_of(content)
    key, what = _float_key(rng, weights), rng.choice([*NO_WEIGHTS, 'missing', 'misspelt'])
    if what == 'missing':
        del weights[key]
    elif what == 'misspelt':
        weights[key + 's'] = weights.pop(key)
    else:
        weights[key] = NO_WEIGHTS[what](weights[key])
    checkpoint.save(content)
    is_unchecked = checkpoint.command in ('publish', 'load_from') and what not in NO_WEIGHTS  # fine-tuning
    if is_unchecked or (checkpoint.command in ('publish', 'load_from') and what in SHAPES):
        checkpoint.refer_to(content)
        return checkpoint.case(f'{key}: {what}', 'either', [key])
    return checkpoint.case(f'{key}: {what}', 'refused', [key])


# For fine-tuning, weights of another shape are left out; what is published may have any.
SHAPES = ('empty', 'one dimension more', 'one row more', 'twice as long')


def all_weights(rng: random.Random, checkpoint: Checkpoint) -> Case:
    """All weights changed at once: what holds the same numbers gives the same result."""
    content = checkpoint.load()
    weights, how = (
        weights_of(content),
        rng.choice(['half', 'double', 'prefix', 'none', 'others', 'bare', 'requires grad']),
    )
    expected = 'same'
    if how in ('half', 'double'):
        clean = copy.deepcopy(content)
        dtype = torch.float16 if how == 'half' else torch.float64
        for key, value in weights.items():
            if value.is_floating_point() and 'anchors' not in key:
                weights[key] = value.to(dtype)
                weights_of(clean)[key] = value.to(dtype).float()
        checkpoint.refer_to(clean)
        expected = 'either' if checkpoint.command in ('publish', 'resume') else 'same'
        if checkpoint.command.startswith(('publish', 'convert', 'fold')):
            checkpoint.refer_to(content)  # the dtype is kept
    elif how == 'prefix':
        changed = {f'module.{key}': value for key, value in weights.items()}
        content['state_dict' if 'state_dict' in content else 'model'] = changed
        if checkpoint.command == 'publish':
            checkpoint.refer_to(content)
    elif how in ('none', 'others'):
        weights.clear()
        if how == 'others':
            weights.update({f'layer{i}.weight': torch.rand(3, 3) for i in range(3)})
        expected = 'either' if checkpoint.command == 'publish' else 'refused'
        if checkpoint.command == 'publish':
            checkpoint.refer_to(content)
    elif how == 'bare':
        content = dict(weights)
        if checkpoint.command in ('resume', 'publish'):
            expected = 'refused'
        elif checkpoint.command in OURS:
            checkpoint.refer_to(dict(state_dict=content))
    else:
        for key, value in weights.items():
            if value.is_floating_point():
                weights[key] = torch.nn.Parameter(value)
    checkpoint.save(content)
    return checkpoint.case(f'all weights: {how}', expected)


def other_content(rng: random.Random, checkpoint: Checkpoint) -> Case:
    """What torch reads, and what is no checkpoint."""
    weight = torch.rand(3)
    held = [None, 5, [], {}, weight, [weight], {'a': {'b': weight}}, {1: weight}]
    content = rng.choice(
        [*held, 'text', {1: 2}, {None: weight}, {'meta': {}}]
        + [{key: value} for key in ('state_dict', 'model') for value in held]
    )
    checkpoint.save(content)
    return checkpoint.case(f'holds {str(content)[:40]}', 'refused')


def other_meta(rng: random.Random, checkpoint: Checkpoint) -> Case:
    """The meta data are of any kind, or missing: the weights are what counts."""
    content = checkpoint.load()
    value = rng.choice([None, 5, 'text', [], {}, [1], torch.rand(2)])
    place = rng.choice(['meta', 'dataset_meta', 'classes', 'no meta', 'names', 'seed', 'cfg', 'time'])
    if place == 'meta':
        content['meta'] = value
    elif place == 'no meta':
        del content['meta']
    elif place == 'dataset_meta':
        content['meta']['dataset_meta'] = value
    elif place in ('classes', 'names'):
        names = [f'class {i}' for i in range(10)]
        content['meta']['dataset_meta']['classes'] = value if place == 'classes' else names
    else:
        content['meta'][place] = value
    checkpoint.save(content)
    if checkpoint.command.startswith(('publish', 'fold')):
        checkpoint.refer_to(content)
    if place == 'names':  # which image_demo.py gives to what is found
        expected = 'any' if checkpoint.command.startswith('demo') else 'either'
        return checkpoint.case('names: of others', expected, ['meta', place])
    return checkpoint.case(f'{place}: {str(value)[:30]}', 'either', ['meta', place])


def no_file(rng: random.Random, checkpoint: Checkpoint) -> Case:
    how = rng.choice(NO_FILES)
    make_no_file(checkpoint.path, how)
    return checkpoint.case(f'is {how}', 'refused')


def old_format(rng: random.Random, checkpoint: Checkpoint) -> Case:
    """torch's format from before 1.6 has no checksums: it is read, or refused where it is cut."""
    content = saved(checkpoint.load(), _use_new_zipfile_serialization=False)
    is_cut = rng.random() < 0.5
    if is_cut:
        content = content[: rng.randrange(1, len(content))]
    replace(checkpoint.path, content)
    return checkpoint.case('old format' + (', cut' if is_cut else ''), 'refused' if is_cut else 'same')


def record_changed(rng: random.Random, checkpoint: Checkpoint) -> Case:
    """Entries of the archive missing, twice, emptied or of another size, under checksums that fit."""
    with zipfile.ZipFile(io.BytesIO(checkpoint.bytes)) as file:
        entries = [(name, file.read(name)) for name in file.namelist()]
    i = rng.choice(
        [i for i, (name, _) in enumerate(entries) if '/data' in name and not name.endswith('serialization_id')]
    )
    name, content = entries[i]
    how = rng.choice(['missing', 'emptied', 'shortened', 'lengthened', 'renamed', 'byte order'])
    if how == 'byte order':
        entries = [(n, b'big' if n.endswith('byteorder') else c) for n, c in entries]
    elif how == 'missing':
        del entries[i]
    elif how == 'renamed':
        entries[i] = (name + 'x', content)
    else:
        sizes = {'emptied': b'', 'shortened': content[: len(content) // 2], 'lengthened': content + bytes(64)}
        entries[i] = (name, sizes[how])
    replace(checkpoint.path, _archive(dict(entries)))
    expected = 'either' if how in ('lengthened', 'byte order') else 'refused'
    if how == 'byte order':  # every number is another one then, as torch reads them
        expected = 'refused' if checkpoint.command not in ('publish', 'load_from') else 'either'
        checkpoint.refer_to(torch.load(checkpoint.path, weights_only=True))
    return checkpoint.case(f'{name.split("/", 1)[-1]}: {how}', expected)


MUTATIONS = [
    *(broken_bytes, bytes_changed, bytes_changed, bytes_changed),
    *(broken_weight, broken_weight, all_weights, other_content, other_meta, no_file, old_format),
    record_changed,
]
