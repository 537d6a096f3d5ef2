"""Folders of images: what is no image, names, links, pipes, and images that are not where they were."""

import os
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from ..case import replace
from .files import NO_FILES, junk, make_no_file

NAMES = (
    *('a b.png', 'a\nb.png', "it's.png", 'quote".png', '100%.png', '%41.png', 'hash#1.png', 'what?.png', '{{ x }}.png'),
    *('=cmd.png', '-rf.png', '\x1b[31mred.png', 'u\u0308ber.png', '\u00fcber.png', '\u6570\u5b57.png', '\udcff.png'),
    *(
        'x' * 240 + '.png',
        'UPPER.PNG',
        'two..dots.png',
        'no_suffix',
        '$HOME.png',
        '*.png',
        'a\\b.png',
        'e\u202egnp.png',
    ),
)


@dataclass
class Change:
    """
    Attributes:
        what: Was done.
        expected: As of a case.
        entries: Words of which a report has one.
        names: Words of which a refusal has one, beside the folder.
    """

    what: str
    expected: str
    entries: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)


def no_image(rng: random.Random, image: Path) -> Change:
    """An image is replaced by something else."""
    content = junk(rng, image.read_bytes())
    how = rng.choice([*content, *(how for how in NO_FILES if how != 'missing')])
    if how in content:
        replace(image, content[how])
    else:
        make_no_file(image, how)
    return Change(f'{image.name} is {how}', 'reported', [image.stem])


def missing(rng: random.Random, image: Path) -> Change:
    image.unlink()
    return Change(f'{image.name} is missing', 'reported', [image.stem])


def other_size(rng: random.Random, image: Path) -> Change:
    size = rng.choice([(1, 1), (48, 64), (640, 480), (1, 3000), (63, 48)])
    resized = Image.open(image).resize(size)
    image.unlink()
    resized.save(image)
    return Change(f'{image.name} has {size[0]} x {size[1]} pixels', 'reported', [image.stem])


def renamed(rng: random.Random, image: Path) -> Change:
    name = rng.choice([*NAMES, image.name.upper(), f' {image.name}', f'{image.name}.png', image.stem])
    image.rename(image.with_name(name))
    return Change(f'{image.name} is called {name!r}', 'reported', [image.stem, name])


def moved(rng: random.Random, image: Path) -> Change:
    folder = image.parent / rng.choice(['deeper', 'train', 'val', 'test', '.hidden', '__MACOSX', 'a/b/c', 'new\nline'])
    folder.mkdir(parents=True, exist_ok=True)
    image.rename(folder / image.name)
    return Change(f'{image.name} is in {folder.name!r}', 'reported', [image.stem])


def copied(rng: random.Random, image: Path) -> Change:
    """A copy, or another image, of the same name or another one, beside it or elsewhere."""
    other = rng.choice([path for path in image.parent.iterdir() if path.suffix == '.png' and path != image] or [image])
    content = rng.choice([image, other]).read_bytes()
    target = image.parent / rng.choice([f'{image.stem}.jpg', f'copy of {image.name}', f'deeper/{image.name}', '00.png'])
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(content)
    return Change(f'{target.name} is there besides {image.name}', 'reported', [image.stem, target.stem])


def exchanged(rng: random.Random, image: Path) -> Change:
    """An image is replaced by a link to another one, or by its copy."""
    other = rng.choice([path for path in image.parent.iterdir() if path.suffix == '.png' and path != image])
    image.unlink()
    if rng.random() < 0.5:
        image.symlink_to(other.name)
    else:
        image.write_bytes(other.read_bytes())
    return Change(f'{image.name} is {other.name}', 'reported', [image.stem, other.stem])


def more_files(rng: random.Random, image: Path) -> Change:
    """What people and systems leave in folders."""
    files: dict[str, bytes] = {
        '.DS_Store': bytes(99),
        'Thumbs.db': rng.randbytes(99),
        '._part_0.png': bytes(99),
        'README.md': b'# parts\n',
        'notes.txt': b'bought in May\n',
        'README.roboflow.txt': b'Roboflow\n',
        'settings.json': b'{"a": 1}',
        'list.json': b'[]',
        'broken.json': b'{"images": [',
        'other.xml': b'<svg/>',
        'broken.xml': b'<annotation>',
        'other.yaml': b'a: 1\n',
        'broken.yaml': b'a: [\n',
        'table.csv': b'image,label\n',
        'film.mp4': bytes(500),
        'archive.zip': b'PK\x05\x06' + bytes(18),
        'numbers.npy': b'\x93NUMPY' + bytes(50),
        'labels.cache': bytes(50),
        'name\nwith line.txt': b'',
        'empty.txt': b'',
        '\udcff.txt': b'x',
    }
    name = rng.choice(list(files))
    (image.parent / name).write_bytes(files[name])
    return Change(f'{name!r} is there', 'reported', [name, repr(name)[1:-1], 'xff', 'udcff', 'x0a', r'\n'], [name])


def no_regular_file(rng: random.Random, image: Path) -> Change:
    """Links in circles, pipes and devices below the folder."""
    name = rng.choice(
        ['extra.json', 'extra.xml', 'extra.txt', 'extra.png', 'extra.yaml', 'extra', 'data.yaml', 'classes.txt']
    )
    path = image.parent / name
    how = rng.choice(['a pipe', 'a link to /dev/zero', 'a link to the folder', 'a link to itself', 'a web', 'a folder'])
    if how == 'a pipe':
        os.mkfifo(path)
    elif how == 'a web':
        for i in range(8):
            (path.with_name(f'web{i}')).mkdir()
        for i in range(8):
            for j in range(8):
                (path.with_name(f'web{i}') / f'to{j}').symlink_to(f'../web{j}')
    elif how == 'a folder':
        path.mkdir()
        return Change(f'{name} is an empty folder', 'reported', [name])
    else:
        target = {'a link to /dev/zero': '/dev/zero', 'a link to the folder': '.', 'a link to itself': name}[how]
        path.symlink_to(target)
    return Change(f'{how}: {name}', 'reported', [name, 'web'], [name])


def linked(rng: random.Random, image: Path) -> Change:
    """The folder of the images is a link to a folder elsewhere: the same images."""
    folder, elsewhere = image.parent, image.parent.with_name('elsewhere')
    if folder.parent.name == 'layouts' or rng.random() < 0.5:
        target = folder / 'elsewhere.bin'
        image.rename(target)
        image.symlink_to(target.name)
        return Change(f'{image.name} is a link', 'reported', [target.name, image.stem])
    elsewhere = folder.parents[2] / 'elsewhere'
    shutil.rmtree(elsewhere, ignore_errors=True)  # of an input before
    shutil.move(folder, elsewhere)
    folder.symlink_to(elsewhere)
    return Change(f'{folder.name} is a link', 'reported', [folder.name])


def many(rng: random.Random, image: Path) -> Change:
    """Deep folders, and many files."""
    if rng.random() < 0.5:
        folder = image.parent
        for i in range(rng.choice([20, 200])):
            folder = folder / f'd{i}'
        folder.mkdir(parents=True)
        (folder / 'deep.png').write_bytes(image.read_bytes()[:-1])
        return Change('an image in deep folders', 'reported', ['deep'])
    for i in range(300):
        replace(image.parent / f'more{i}.txt', b'')
    return Change('many more files', 'reported', ['more'])


CHANGES: list[Callable[[random.Random, Path], Change]] = [
    *(no_image, no_image, missing, other_size, renamed, renamed, moved, copied, exchanged, more_files, more_files),
    *(no_regular_file, linked, many),
]
