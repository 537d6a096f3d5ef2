"""Check of a dataset's images and boxes: what is wrong is repaired, left out or reported, never silently."""

import hashlib
import io
import math
import os
import re
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import IMAGELENGTH, IMAGEWIDTH, TiffImageFile

from mmspartan_cli import printable

from ...errors import InputError
from ..image_files import DARK, ORIENTATION, read_image, value_bits
from .faults import CLIPPED, DROPPED, KEPT, RENAMED, ROTATED, Faults
from .source import Choices, Object, Sample, Source

# Boxes may exceed the image by this many pixels without a word: programs round and count pixels differently.
TOLERANCE = 1.0

# The point (x, y) of a stored image of size (w, h), in shares, after the rotation that its EXIF orientation asks for.
UPRIGHT: dict[int, Callable[[float, float], tuple[float, float]]] = {
    5: lambda x, y: (y, x),
    6: lambda x, y: (1 - y, x),
    7: lambda x, y: (1 - y, 1 - x),
    8: lambda x, y: (y, 1 - x),
}
# The same for orientations that leave width and height as they are.
MIRRORED: dict[int, Callable[[float, float], tuple[float, float]]] = {
    2: lambda x, y: (1 - x, y),
    3: lambda x, y: (1 - x, 1 - y),
    4: lambda x, y: (x, 1 - y),
}


@dataclass
class File:
    """An image file as it is decoded."""

    size: tuple[int, int]  # width and height in pixels of the stored image
    orientation: int  # of EXIF, 1 if the decoder does not rotate it
    digest: str  # of its content
    frames: int  # number of its images, of which the first is used
    bits: int  # of the largest value of an image with more than 8 bits a value; 0 for others


def clean(
    source: Source,
    faults: Faults,
    progress: Callable[[Iterable, int], Iterable],
    choices: Choices | None = None,
) -> dict[Path, File]:
    """Check all images and objects in place, and return what is known of each image file that can be read.

    Boxes become pixels of the upright image, inside of it; ``size`` becomes the size of the upright image.

    Args:
        progress: Called with an iterable and its length; returns an iterable that shows the progress.
        choices: What the user decided.
    """
    _strip_names(source, faults)
    paths = list(dict.fromkeys(sample.path for samples in source.splits.values() for sample in samples))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = dict(zip(paths, progress(pool.map(_read, paths), len(paths))))
    for path, result in results.items():
        if isinstance(result, str):
            reason = re.sub(r'\d+ x \d+', 'N x N', re.split('[:;] ', result)[0])  # the same text for the same kind
            faults.add(f'image {reason}', DROPPED, str(path) if result == reason else f'{path}: {result}')
    files = {path: result for path, result in results.items() if isinstance(result, File)}
    faults.add('image has several frames: the first is used', KEPT, *(str(p) for p, f in files.items() if f.frames > 1))
    choices = choices or Choices()
    _check_bits({path: file.bits for path, file in files.items() if file.bits}, choices.bits, faults)
    known = {
        split: [(sample, files[sample.path]) for sample in samples if sample.path in files]
        for split, samples in source.splits.items()
    }
    told = {_told_orientation(sample, file) for pairs in known.values() for sample, file in pairs}
    decided = choices.box_orientation
    orientation = decided or ('stored' if told - {None} == {'stored'} else 'upright')
    option = None if decided else f'--box-orientation {"upright" if orientation == "stored" else "stored"}'
    for split, pairs in known.items():
        source.splits[split] = [sample for sample, file in pairs if _fit(sample, file, faults, orientation, option)]
    _tell_unlabelled(source, choices.unlabelled, faults)
    _drop_repeated(source, {path: file.digest for path, file in files.items()}, faults)
    return files


def _check_bits(deep: dict[Path, int], chosen: int | None, faults: Faults) -> None:
    """Name the 16-bit images that are loaded nearly black, or that have larger values than the user says."""
    if chosen:
        larger = [str(path) for path, bits in deep.items() if bits > chosen]
        faults.note(
            f'16-bit image has values from {2**chosen} on: copied as it is, in spite of --bits {chosen}', *larger
        )
        return
    # beside images that use all 16 bits, one that is half as bright is no sign of fewer bits
    most = DARK if any(bits == 16 for bits in deep.values()) else 15
    dark = {path: bits for path, bits in deep.items() if bits <= most}
    if dark:
        bits = max(dark.values())
        what = f'values of 16-bit images are below {2**bits}: they are loaded as if white were 65535'
        faults.guess(what, f'--bits {max(8, bits)} --copy', *map(str, dark))


def _tell_unlabelled(source: Source, chosen: str | None, faults: Faults) -> None:
    unlabelled = [str(sample.path) for samples in source.splits.values() for sample in samples if not sample.where]
    what = 'image has no annotation file: taken as one without objects'
    if chosen is None:
        faults.guess(what, '--unlabelled skip', *unlabelled)
        return
    if chosen == 'empty':
        faults.note(what, *unlabelled)
        return
    faults.note('image has no annotation file: left out by --unlabelled skip', *unlabelled)
    for split, samples in source.splits.items():
        source.splits[split] = [sample for sample in samples if sample.where]


def _strip_names(source: Source, faults: Faults) -> None:
    objects = objects_of(source)
    names = {name: printable(' '.join(name.split())) for name in source.classes}
    for samples in source.splits.values():
        for sample in samples:
            for item in sample.objects:
                item.name = names[item.name]
    for name, new in names.items():
        if name != new:
            first = f', the first in {objects[name][0]}' if objects[name] else ''
            faults.add(
                'name of a class has spaces around it or control characters',
                RENAMED,
                f'{name!r}: {len(objects[name])} objects{first}',
            )
    source.classes = list(dict.fromkeys(names.values()))


def objects_of(source: Source) -> dict[str, list[str]]:
    """Return the places of the objects of each class."""
    places: dict[str, list[str]] = {name: [] for name in source.classes}
    for samples in source.splits.values():
        for sample in samples:
            for item in sample.objects:
                places[item.name].append(item.where)
    return places


def _read(path: Path) -> File | str:
    """Return what is known of an image file, or what is wrong with it."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return 'has a name that is no UTF-8, rename it'
    try:
        content = read_image(path)
        with Image.open(io.BytesIO(content)) as image:
            orientation = int(image.getexif().get(ORIENTATION, 1))
            size, frames = image.size, getattr(image, 'n_frames', 1) if image.format != 'MPO' else 1
            if orientation != 1 and image.format not in ROTATED_BY_OPENCV:
                decoded = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
                assert decoded is not None  # read_image has decoded it
                size = (decoded.shape[1], decoded.shape[0])
                if isinstance(image, TiffImageFile):  # Pillow rotates them as well, and versions of OpenCV differ
                    stored = image.tag_v2[IMAGEWIDTH], image.tag_v2[IMAGELENGTH]
                    orientation, size = (1 if stored == size != size[::-1] else orientation), stored
                else:
                    orientation = 1
            bits = value_bits(image, content, path)
        return File(size, orientation, hashlib.sha1(content).hexdigest(), frames, bits)
    except InputError as error:
        return str(error).removeprefix(f'{path}: ')
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        return f'cannot be read: {error}'


# Formats of which OpenCV rotates the pixels and Pillow does not.
ROTATED_BY_OPENCV = ('JPEG', 'MPO', 'PNG', 'WEBP')


def _told_orientation(sample: Sample, file: File) -> str | None:
    """Return what the boxes of an image refer to by the size in its annotations; None if it does not tell."""
    upright = file.size[::-1]
    if file.orientation not in UPRIGHT or upright == file.size or sample.size not in (file.size, upright):
        return None
    return 'stored' if sample.size == file.size else 'upright'


def _fit(sample: Sample, file: File, faults: Faults, box_orientation: str, option: str | None) -> bool:
    """Fit the objects to the image; False if its annotations are for an image of another size.

    ``box_orientation`` holds where the annotations do not tell it; ``option`` chooses the other one, if it is a guess.
    """
    stored, orientation = file.size, file.orientation
    size = stored[::-1] if orientation in UPRIGHT else stored
    where = sample.where or str(sample.path)
    turn = None
    if sample.size not in (None, size):
        if sample.size != stored:
            annotated = f'{sample.size[0]} x {sample.size[1]}' if sample.size else ''
            faults.add(
                'image has another size than its annotations say',
                DROPPED,
                f'{where}: {sample.path.name}: {annotated}, is {size[0]} x {size[1]}',
            )
            return False
        turn = UPRIGHT[orientation]
        faults.add('boxes are of the image without its EXIF orientation', ROTATED, where)
    elif orientation in range(2, 9) and sample.objects and (sample.size is None or stored == size):
        if option:
            what = f'boxes are read as those of the {box_orientation} image, since the image has an EXIF orientation'
            faults.guess(what, option, str(sample.path))
        if box_orientation == 'stored':
            turn = (UPRIGHT | MIRRORED)[orientation]
            faults.note('boxes are rotated as the EXIF orientation of the image', where)
    kept: dict[tuple, Object] = {}
    for item in sample.objects:
        box = _box(item, stored if turn else size, turn, size)
        problem = _problem(box, size)
        if problem:
            faults.add(problem, DROPPED, item.where)
            continue
        x0, y0, x1, y1 = box
        clipped = max(x0, 0.0), max(y0, 0.0), min(x1, float(size[0])), min(y1, float(size[1]))
        if max(abs(a - b) for a, b in zip(box, clipped)) > TOLERANCE:
            faults.add('box exceeds the image', CLIPPED, item.where)
        if min(clipped[2] - clipped[0], clipped[3] - clipped[1]) < 1:
            faults.add('box is narrower or lower than a pixel: evaluated, not trained on', KEPT, item.where)
        item.box, item.relative = clipped, False
        key = (item.name, *clipped)
        if key in kept:
            faults.add('object is there twice', DROPPED, item.where)
        kept.setdefault(key, item)
    sample.objects, sample.size = list(kept.values()), size
    return True


def _box(item: Object, frame: tuple[int, int], turn: Callable | None, size: tuple[int, int]) -> tuple:
    """Return the corners of an object in pixels of the upright image; ``frame`` is the size that its box refers to."""
    x0, y0, x1, y1 = item.box
    if item.relative:
        x0, y0, x1, y1 = x0 * frame[0], y0 * frame[1], x1 * frame[0], y1 * frame[1]
    if turn is None or not all(map(math.isfinite, item.box)):
        return x0, y0, x1, y1
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
        return 'box is outside of the image'
    return ''


def _drop_repeated(source: Source, digests: dict[Path, str], faults: Faults) -> None:
    """Leave out images that are there twice; of a training and an evaluation image the evaluation keeps it."""
    seen: dict[str, tuple[str, Sample]] = {}
    for split in sorted(source.splits, key=('test', 'val', 'train', '').index):
        kept = []
        for sample in source.splits[split]:
            digest = digests[sample.path]
            before, other = seen.setdefault(digest, (split, sample))
            if other is sample:
                kept.append(sample)
            elif before != split:
                places = f'{sample.path} = {other.path}'
                owner = f'of {split}' if split else 'without a split'
                faults.add(f'image {owner} is in {before} as well', DROPPED, places)
            elif _same_objects(sample, other):
                faults.add('image is there twice', DROPPED, f'{sample.path}, used is {other.path}')
            else:
                faults.add('image is there twice, with other objects', KEPT, f'{sample.path} = {other.path}')
                kept.append(sample)
        source.splits[split] = kept


def _same_objects(first: Sample, second: Sample) -> bool:
    """Whether images have objects of the same names in boxes that differ by a pixel at most, as those of VOC do."""

    def are_in(items: list[Object], others: list[Object]) -> bool:
        return all(
            any(
                item.name == other.name and all(abs(a - b) <= 1.01 for a, b in zip(item.box, other.box))
                for other in others
            )
            for item in items
        )

    same_number = len(first.objects) == len(second.objects)
    return same_number and are_in(first.objects, second.objects) and are_in(second.objects, first.objects)
