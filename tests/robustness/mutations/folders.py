"""What ``tools/image_demo.py`` gets beside a single image: trees of images, and videos."""

import os
import random

from ..case import Bench, Case, replace
from . import trees

# Of a tree without annotations nobody knows that an image is not the one that it was.
OTHER_IMAGES = (trees.missing, trees.other_size, trees.copied, trees.exchanged)


def mutate(rng: random.Random, bench: Bench) -> Case:
    """A tree or a video."""
    return rng.choice([_tree, _tree, _video])(rng, bench)


def _tree(rng: random.Random, bench: Bench) -> Case:
    image = rng.choice(sorted((bench.mutated / 'tree').rglob('*.png')))
    make = rng.choice(trees.CHANGES)
    change = make(rng, image)
    expected = 'any' if make in OTHER_IMAGES else change.expected
    names = ['tree', *change.names, *filter(None, change.entries)]
    return Case(f'tree: {change.what}', 'demo tree', expected, names, change.entries)


def _video(rng: random.Random, bench: Bench) -> Case:
    path = bench.mutated / 'film.avi'
    content = path.read_bytes()
    how = rng.choice(['cut', 'cut', 'bits', 'bits', 'hole', 'empty', 'text', 'zeros', 'header', 'a folder', 'a pipe',
                      'missing', 'itself', 'longer', 'an image', 'frames', 'rate'])  # fmt: skip
    path.unlink()
    if how in ('cut', 'header', 'empty'):
        size = {'cut': rng.randrange(len(content)), 'header': rng.randrange(300), 'empty': 0}[how]
        replace(path, content[:size])
        how = f'cut to {size} of {len(content)} bytes'
    elif how == 'bits':
        changed = bytearray(content)
        for _ in range(rng.choice([1, 5, 50])):
            changed[rng.randrange(rng.choice([100, 300, len(content)]))] ^= 1 << rng.randrange(8)
        replace(path, bytes(changed))
    elif how == 'hole':
        i = rng.randrange(len(content))
        replace(path, content[:i] + bytes(min(500, len(content) - i)) + content[i + 500 :])
    elif how in ('frames', 'rate'):
        place = 48 if how == 'frames' else 32  # of the main header of AVI
        replace(
            path,
            content[:place]
            + rng.choice([bytes(4), b'\xff' * 4, b'\xff\xff\xff\x7f', b'\1\0\0\0'])
            + content[place + 4 :],
        )
    elif how == 'a folder':
        path.mkdir()
    elif how == 'a pipe':
        os.mkfifo(path)
    elif how == 'itself':
        path.symlink_to(path.name)
    elif how != 'missing':
        image = (bench.sound / 'digits' / 'train' / '00001.png').read_bytes()
        replace(path, {'text': b'no\n', 'zeros': bytes(5000), 'longer': content + bytes(99), 'an image': image}[how])
    # OpenCV takes an image for a video of a frame
    return Case(
        f'film.avi: {how}', 'demo video', 'any' if how == 'an image' else 'reported', ['film.avi'], ['film.avi: ']
    )
