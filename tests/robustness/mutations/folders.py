"""What ``tools/image_demo.py`` gets beside a single image: trees of images, and videos."""

import random

from ..case import Bench, Case, replace
from . import trees
from .files import NO_FILES, edited, junk, make_no_file

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
    others = {
        **junk(rng, content),
        'an image': (bench.sound / 'digits' / 'train' / '00001.png').read_bytes(),
        'longer': content + bytes(99),
    }
    for name, place in (('frames', 48), ('rate', 32)):  # of the main header of AVI
        number = rng.choice([bytes(4), b'\xff' * 4, b'\xff\xff\xff\x7f', b'\1\0\0\0'])
        others[f'with other {name}'] = content[:place] + number + content[place + 4 :]
    how = rng.choice([*others, *NO_FILES, *['changed'] * 6])
    if how == 'changed':
        how, changed = edited(rng, content, rng.randrange(rng.choice([100, 300, len(content)])))
        replace(path, changed)
    elif how in others:
        replace(path, others[how])
    else:
        make_no_file(path, how)
    # OpenCV takes an image for a video of a frame
    expected = 'any' if how == 'an image' else 'reported'
    return Case(f'film.avi: {how}', 'demo video', expected, ['film.avi'], ['film.avi: '])
