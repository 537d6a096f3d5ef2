"""Files of safetensors, read by the converters: length, header, types, offsets and data."""

import json
import random
import struct

import numpy as np

from ..case import Bench, Case, replace

READERS = {'convert rtdetr': 'rtdetr.safetensors', 'convert spartan': 'spartan.safetensors'}


class File:
    """The header and the data of a file."""

    def __init__(self, content: bytes):
        self.content = content
        size = struct.unpack('<Q', content[:8])[0]
        self.header = json.loads(content[8 : 8 + size])
        self.data = bytearray(content[8 + size :])

    def encoded(self) -> bytes:
        header = json.dumps(self.header).encode()
        return struct.pack('<Q', len(header)) + header + bytes(self.data)

    def pick(self, rng: random.Random, dtype: str = 'F32') -> str:
        """A tensor of a type that has at least a dimension; RT-DETR's anchors may be infinite."""
        return rng.choice(
            [
                name
                for name, entry in self.header.items()
                if entry.get('dtype') == dtype and entry['shape'] and 'anchors' not in name
            ]
        )


def mutate(rng: random.Random, bench: Bench) -> Case:
    """A file that a converter reads."""
    command = rng.choice(list(READERS))
    name = READERS[command]
    file = File((bench.mutated / name).read_bytes())
    what, expected, content = rng.choice(MUTATIONS)(rng, file)
    replace(bench.mutated / name, file.encoded() if content is None else content)
    return Case(f'{name}: {what}', command, expected, [name], [name])


Change = tuple[str, str, bytes | None]  # what was done, what is expected, the bytes if they are not the file's


def length(rng: random.Random, file: File) -> Change:
    sound = struct.unpack('<Q', file.content[:8])[0]
    size = rng.choice(
        [0, 1, 2**63, 2**64 - 1, len(file.content), sound + 1, sound - 1, sound + 8, rng.randrange(2**64)]
    )
    return f'header of {size} bytes', 'refused', struct.pack('<Q', size) + file.content[8:]


def truncated(rng: random.Random, file: File) -> Change:
    size = rng.choice([0, 1, 7, 8, 9, rng.randrange(len(file.content)), len(file.content) - 1])
    return f'cut to {size} bytes', 'refused', file.content[:size]


def longer(rng: random.Random, file: File) -> Change:
    return 'bytes appended', 'either', file.content + rng.randbytes(rng.choice([1, 8, 500]))


def other_header(rng: random.Random, file: File) -> Change:
    headers = [
        *(b'', b'{', b'[]', b'null', b'5', b'"x"', b'{}', b'[' * 10_000, b'\xff\xfe{}', b'{"a": 1}', b'{"a": {}}'),
        *(b'{"__metadata__": {"a": 1}}', rng.randbytes(200), b'{"a":' * 10_000, b'\0' * 100),
    ]
    header = rng.choice(headers)
    return f'header is {header[:20]!r}', 'refused', struct.pack('<Q', len(header)) + header + bytes(file.data)


def header_byte(rng: random.Random, file: File) -> Change:
    """A byte of structure removed."""
    size = struct.unpack('<Q', file.content[:8])[0]
    places = [i for i in range(8, 8 + size) if file.content[i] in b'{}[]:"']
    i = rng.choice(places)
    content = bytearray(file.content)
    content[i : i + 1] = b''
    content[:8] = struct.pack('<Q', size - 1)
    return f'byte {i} of the header removed', 'refused', bytes(content)


def dtype(rng: random.Random, file: File) -> Change:
    name = file.pick(rng)
    file.header[name]['dtype'] = rng.choice(
        ['I32', 'U32', 'F16', 'BF16', 'F64', 'I8', 'BOOL', 'X9', '', None, 5, 'f32', 'F8_E4M3', 'C64', 'I64']
    )
    return f'{name}: dtype {file.header[name]["dtype"]}', 'refused', None


def shape(rng: random.Random, file: File) -> Change:
    name = file.pick(rng)
    sound = file.header[name]['shape']
    shapes = [
        *([], [-1], [2**62, 4], [0], None, 'x', 5, [1.5], [*sound, 1], [1, *sound], [*sound[::-1], 2]),
        [int(np.prod(sound)), 1, 1, 1, 1],
    ]
    file.header[name]['shape'] = rng.choice(shapes)
    return f'{name}: shape {file.header[name]["shape"]} for {sound}', 'refused', None


def offsets(rng: random.Random, file: File) -> Change:
    name = file.pick(rng)
    begin, end = file.header[name]['data_offsets']
    wrong = [
        *([end, begin], [begin, end + 4], [begin + 4, end], [begin + 4, end + 4], [begin, begin], [0, 0], [-8, 8]),
        *([2**63, 2**63 + 8], [begin], [begin, end, end], None, 'x', [begin, None], [0, len(file.data)], [0.5, end]),
    ]
    chosen = rng.choice([value for value in wrong if value != [begin, end]])
    file.header[name]['data_offsets'] = chosen
    return f'{name}: data_offsets {chosen}', 'refused', None


def entry(rng: random.Random, file: File) -> Change:
    name = file.pick(rng)
    how = rng.choice(['missing', 'misspelt', 'null', 'a list', 'no dtype', 'no shape', 'no offsets', 'more'])
    if how == 'missing':
        del file.header[name]
    elif how == 'misspelt':
        file.header[name + 's'] = file.header.pop(name)
    elif how in ('null', 'a list'):
        file.header[name] = None if how == 'null' else []
    elif how == 'more':
        file.header[name]['note'] = 'x'
        return f'{name}: an entry more', 'either', None
    else:
        del file.header[name][dict(dtype='dtype', shape='shape', offsets='data_offsets')[how[3:]]]
    return f'{name}: {how}', 'refused', None


def metadata(rng: random.Random, file: File) -> Change:
    value = rng.choice([{}, {'format': 'tf'}, {'a': 'x' * 10_000}, None, 5, [], {'a': 1}, {'': ''}])
    file.header['__metadata__'] = value
    return f'metadata {str(value)[:20]}', 'either', None


def values(rng: random.Random, file: File) -> Change:
    name = file.pick(rng)
    begin, end = file.header[name]['data_offsets']
    place = begin + 4 * rng.randrange((end - begin) // 4)
    value = rng.choice([float('nan'), float('inf'), -float('inf')])
    file.data[place : place + 4] = struct.pack('<f', value)
    return f'{name}: {value} in it', 'refused', None


def other_kind(rng: random.Random, file: File) -> Change:
    content = {
        'a text': b'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n',
        'a page': b'<!DOCTYPE html><html><body>404</body></html>',
        'an archive': b'PK\x05\x06' + bytes(18),
        'zeros': bytes(5000),
        'garbage': rng.randbytes(5000),
    }
    what = rng.choice(list(content))
    return f'is {what}', 'refused', content[what]


def other_names(rng: random.Random, file: File) -> Change:
    """Names that are none of the model's."""
    how = rng.choice(['numbers', 'prefix of nobody', 'paths', 'long'])
    change = {
        'numbers': lambda i, name: str(i),
        'prefix of nobody': lambda i, name: f'wrapped.inner.{name}',
        'paths': lambda i, name: f'../{name}',
        'long': lambda i, name: name * 50,
    }[how]
    file.header = {change(i, name): entry for i, (name, entry) in enumerate(file.header.items()) if 'dtype' in entry}
    return f'names: {how}', 'refused', None


def wrapped_names(rng: random.Random, file: File) -> Change:
    """Prefixes of wrappers are taken off."""
    prefix = rng.choice(['module.', '_orig_mod.', 'module._orig_mod.'])
    file.header = {f'{prefix}{name}': entry for name, entry in file.header.items() if 'dtype' in entry}
    return f'names with {prefix}', 'same', None


def double(rng: random.Random, file: File) -> Change:
    """A tensor that is longer by one row, with all offsets right."""
    name = file.pick(rng)
    begin, end = file.header[name]['data_offsets']
    shape = file.header[name]['shape']
    row = (end - begin) // shape[0]
    file.data[end:end] = bytes(row)
    file.header[name]['shape'] = [shape[0] + 1, *shape[1:]]
    for key, other in file.header.items():
        if 'dtype' in other and key != name and other['data_offsets'][0] >= end:
            other['data_offsets'] = [n + row for n in other['data_offsets']]
    file.header[name]['data_offsets'] = [begin, end + row]
    return f'{name}: a row more', 'refused', None


MUTATIONS = [
    *(length, truncated, longer, other_header, header_byte, dtype, shape, offsets, entry, metadata, values),
    *(other_kind, other_names, wrapped_names, double),
]
