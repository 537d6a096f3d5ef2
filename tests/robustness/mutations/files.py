"""What any file may turn out to be: no regular file, something else, or a few bytes of it changed."""

import os
import random
from pathlib import Path

NO_FILES = ('a folder', 'a pipe', 'missing', 'a link to itself', 'a link to nothing', 'endless')


def make_no_file(path: Path, how: str) -> None:
    """Replace a file by one of NO_FILES."""
    path.unlink()
    links = {'a link to itself': path.name, 'a link to nothing': 'gone.png', 'endless': '/dev/zero'}
    if how == 'a folder':
        path.mkdir()
    elif how == 'a pipe':
        os.mkfifo(path)
    elif how != 'missing':
        path.symlink_to(links[how])


def junk(rng: random.Random, sound: bytes) -> dict[str, bytes]:
    """Contents that are no annotations, images, checkpoints or models, by name."""
    return {
        'empty': b'',
        'a pointer of LFS': b'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n',
        'a page': b'<!DOCTYPE html><html><body>404</body></html>',
        'an archive': b'PK\x05\x06' + bytes(18),
        'zeros': bytes(5000),
        'garbage': rng.randbytes(3000),
        'half of it': sound[: len(sound) // 2],
    }


def edited(rng: random.Random, sound: bytes, place: int) -> tuple[str, bytes]:
    """Return the name of a change of bytes at a place, and the changed content."""
    how, size = rng.choice(['flipped', 'flipped', 'removed', 'inserted', 'cut']), rng.choice([1, 7, 64, 4096])
    before, after = sound[:place], sound[place:]
    changed = {
        'flipped': before + bytes([after[0] ^ rng.randrange(1, 256)]) + after[1:],
        'removed': before + after[size:],
        'inserted': before + rng.randbytes(size) + after,
        'cut': before,
    }
    return f'bytes {how} at {place}', changed[how]
