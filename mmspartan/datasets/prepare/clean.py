"""Check of a dataset's pictures and boxes: what is wrong is mended, left out or told, never silently."""

import hashlib
import io
import math
import os
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

from ...errors import InputError
from ..pictures import ORIENTATION, read_picture
from .faults import CLIPPED, DROPPED, KEPT, RENAMED, ROTATED, Faults
from .source import Object, Picture, Source

# Boxes may exceed the image by this many pixels without a word: programs round and count pixels differently.
TOLERANCE = 1.0

# The point (x, y) of a stored image of size (w, h), in shares, after the rotation that its EXIF orientation asks for.
UPRIGHT: dict[int, Callable[[float, float], tuple[float, float]]] = {
    5: lambda x, y: (y, x),
    6: lambda x, y: (1 - y, x),
    7: lambda x, y: (1 - y, 1 - x),
    8: lambda x, y: (y, 1 - x),
}


def clean(source: Source, faults: Faults, progress: Callable[[Iterable, int], Iterable]) -> dict[Path, str]:
    """Check all pictures and objects in place.

    Boxes become pixels of the upright image, inside of it; ``size`` becomes that of the upright image.

    Args:
        source: The dataset.
        faults: Faults are added to it.
        progress: Called with an iterable and its length; returns an iterable that shows the progress.

    Returns:
        dict: A digest of the content of each picture.
    """
    _strip_names(source, faults)
    pictures = [picture for pictures in source.splits.values() for picture in pictures]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        read = pool.map(_read, [picture.path for picture in pictures])
        results = dict(zip([picture.path for picture in pictures], progress(read, len(pictures))))
    for split, pictures in source.splits.items():
        kept = []
        for picture in pictures:
            result = results[picture.path]
            if isinstance(result, str):
                faults.add(result, DROPPED, str(picture.path))
            elif _fit(picture, result[0], result[1], faults):
                kept.append(picture)
        source.splits[split] = kept
    digests = {path: result[2] for path, result in results.items() if not isinstance(result, str)}
    _drop_repeated(source, digests, faults)
    return digests


def _strip_names(source: Source, faults: Faults) -> None:
    for pictures in source.splits.values():
        for picture in pictures:
            for item in picture.objects:
                item.name = ' '.join(item.name.split())
    for name in source.classes:
        if name != ' '.join(name.split()):
            faults.add('name of a class has spaces around it', RENAMED, repr(name))
    source.classes = list(dict.fromkeys(' '.join(name.split()) for name in source.classes))
    if '' in source.classes:
        raise InputError(f'{source.format}: a class has an empty name')
    by_case = defaultdict(list)
    for name in source.classes:
        by_case[name.casefold()].append(name)
    for names in by_case.values():
        if len(names) > 1:
            faults.add('names of classes differ only in case; --rename makes one of them', KEPT, ' / '.join(names))


def _read(path: Path) -> tuple[tuple[int, int], int, str] | str:
    """Return a picture's stored size, orientation and digest, or what is wrong with it."""
    try:
        content = read_picture(path)
        with Image.open(io.BytesIO(content)) as image:
            return image.size, int(image.getexif().get(ORIENTATION, 1)), hashlib.sha1(content).hexdigest()
    except InputError as error:
        return f'picture {str(error).removeprefix(f"{path}: ")}'
    except (OSError, SyntaxError, ValueError) as error:
        return f'picture cannot be read: {error}'


def _fit(picture: Picture, stored: tuple[int, int], orientation: int, faults: Faults) -> bool:
    """Fit the objects to the picture; False if its annotations are for a picture of another size."""
    size = stored[::-1] if orientation in UPRIGHT else stored
    where = picture.where or str(picture.path)
    turn = None
    if picture.size not in (None, size):
        if picture.size != stored:
            annotated = f'{picture.size[0]} x {picture.size[1]}' if picture.size else ''
            faults.add(
                'picture has another size than its annotations say',
                DROPPED,
                f'{where}: {annotated}, is {size[0]} x {size[1]}',
            )
            return False
        turn = UPRIGHT[orientation]
        faults.add('boxes are of the picture without its EXIF orientation', ROTATED, where)
    elif orientation in range(2, 9) and picture.objects and (picture.size is None or stored == size):
        faults.add('boxes are taken as of the picture with its EXIF orientation: look at them', KEPT, where)
    kept: dict[tuple, Object] = {}
    for item in picture.objects:
        box = _box(item, stored if turn else size, turn, size)
        problem = _problem(box, size)
        if problem:
            faults.add(problem, DROPPED, item.where)
            continue
        x0, y0, x1, y1 = box
        clipped = max(x0, 0.0), max(y0, 0.0), min(x1, float(size[0])), min(y1, float(size[1]))
        if max(abs(a - b) for a, b in zip(box, clipped)) > TOLERANCE:
            faults.add('box exceeds the picture', CLIPPED, item.where)
        if min(clipped[2] - clipped[0], clipped[3] - clipped[1]) < 1:
            faults.add('box is narrower or lower than a pixel: evaluated, not trained on', KEPT, item.where)
        item.box, item.relative = clipped, False
        key = (item.name, *clipped)
        if key in kept:
            faults.add('object is there twice', DROPPED, item.where)
        kept.setdefault(key, item)
    picture.objects, picture.size = list(kept.values()), size
    return True


def _box(item: Object, frame: tuple[int, int], turn: Callable | None, size: tuple[int, int]) -> tuple:
    """Return the corners of an object in pixels of the upright image; ``frame`` is the size that its box refers to."""
    x0, y0, x1, y1 = item.box
    if item.relative:
        return x0 * size[0], y0 * size[1], x1 * size[0], y1 * size[1]
    if turn is None or not all(map(math.isfinite, item.box)):
        return item.box
    a, b = turn(x0 / frame[0], y0 / frame[1]), turn(x1 / frame[0], y1 / frame[1])
    (x0, x1), (y0, y1) = sorted((a[0], b[0])), sorted((a[1], b[1]))
    return x0 * size[0], y0 * size[1], x1 * size[0], y1 * size[1]


def _problem(box: tuple, size: tuple[int, int]) -> str:
    x0, y0, x1, y1 = box
    if not all(map(math.isfinite, box)):
        return 'box is not finite'
    if x1 <= x0 or y1 <= y0:
        return 'box has no width or no height'
    if x0 >= size[0] or y0 >= size[1] or x1 <= 0 or y1 <= 0:
        return 'box is outside of the picture'
    return ''


def _drop_repeated(source: Source, digests: dict[Path, str], faults: Faults) -> None:
    """Leave out pictures that are there twice; of a training and an evaluation picture the evaluation keeps it."""
    seen: dict[str, tuple[str, Picture]] = {}
    for split in sorted(source.splits, key=('test', 'val', 'train', '').index):
        kept = []
        for picture in source.splits[split]:
            digest = digests[picture.path]
            before, other = seen.setdefault(digest, (split, picture))
            if other is picture:
                kept.append(picture)
            elif before != split:
                places = f'{picture.path} = {other.path}'
                faults.add(f'picture of {split or "the rest"} is in {before} as well', DROPPED, places)
            elif _same_objects(picture, other):
                faults.add('picture is there twice', DROPPED, f'{picture.path} = {other.path}')
            else:
                faults.add('picture is there twice, with other objects', KEPT, f'{picture.path} = {other.path}')
                kept.append(picture)
        source.splits[split] = kept


def _same_objects(first: Picture, second: Picture) -> bool:
    return {(item.name, *item.box) for item in first.objects} == {(item.name, *item.box) for item in second.objects}
