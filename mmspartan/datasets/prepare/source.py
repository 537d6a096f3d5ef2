"""What a dataset consists of before it is checked, and the search for the files in its folder."""

import math
import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote

from mmspartan_cli import is_hidden_name
from mmspartan_cli.choices import IMAGE_SUFFIXES

from .faults import DROPPED, KEPT, Faults

# Suffixes of images in datasets; Pillow or OpenCV reads them.
DATASET_SUFFIXES = frozenset(
    [
        *IMAGE_SUFFIXES,
        *('.jpe', '.jfif', '.mpo', '.apng', '.dib', '.gif', '.avif', '.heic', '.heif', '.jp2', '.pgm', '.ppm', '.pnm'),
    ]
)

# Names of splits, as a word of a folder's or a file's name; `instances_train2017` and `_valid` have one.
SPLITS = {
    'train': re.compile(r'(^|[^a-z])(train|training)([^a-z]|$)', re.I),
    'val': re.compile(r'(^|[^a-z])(val|valid|validation|dev)([^a-z]|$)', re.I),
    'test': re.compile(r'(^|[^a-z])(test|testing)([^a-z]|$)', re.I),
}


# Label Studio names uploads HASH-NAME.jpg; the image at hand may have the name without the hash.
UPLOAD = re.compile(r'^[0-9a-f]{8}-')
ELSEWHERE = re.compile(r'/|[a-z]:|[a-z]+://|(.*/)?\.\./', re.I)  # paths of another computer, or out of the dataset

# Files of a folder that prepare_dataset.py wrote, which may be within the source.
PREPARED = {'config.py', 'train.json', 'val.json', 'report.html'}
PREPARED_FOLDER = 'folder was written by prepare_dataset.py'


@dataclass
class Object:
    """An annotated object."""

    name: str  # of its class
    box: tuple[float, float, float, float]  # (x0, y0, x1, y1) in pixels, or in shares of the image's width and height
    relative: bool = False  # whether the box is in shares
    ignored: bool = False  # by training and evaluation: VOC's ``difficult``, COCO's ``iscrowd``
    where: str = ''  # place in the annotation file, for messages


@dataclass
class Sample:
    """An image and its objects."""

    path: Path
    objects: list[Object] = field(default_factory=list)
    size: tuple[int, int] | None = None  # width and height in pixels, as the annotations say
    where: str = ''  # the annotation file, for messages; none if the image is taken as one without objects


@dataclass
class Source:
    """A dataset as its files describe it."""

    format: str  # and the layout, for the report
    classes: list[str] = field(default_factory=list)  # in the order of their labels
    splits: dict[str, list[Sample]] = field(default_factory=lambda: defaultdict(list))  # train, val, test; '' for none
    undivided: set[Path] = field(default_factory=set)  # images of those of several sources that have no splits


# Conventions of boxes, and the format that they belong to.
BOX_FORMATS = {
    **dict.fromkeys(('xywh', 'xyxy', 'xywh-shares', 'xyxy-shares'), 'COCO'),
    **dict.fromkeys(('from-1', 'from-0'), 'Pascal VOC'),
    **dict.fromkeys(('polygon', 'track'), 'YOLO'),
}


@dataclass
class Choices:
    """What the user decides where the files do not tell it; see the options of ``tools/prepare_dataset.py``."""

    split_by: str = 'folders'  # and names of annotation files; 'names' of images as well, or 'nothing'
    box_format: str | None = None  # one of BOX_FORMATS; found out by default
    attribute: str | None = None  # that holds the class, of VIA
    # 'upright' or 'stored': what boxes refer to where an image has an EXIF orientation and its annotations do not tell
    # it; by default guessed from the images whose annotations do
    box_orientation: str | None = None
    # 'empty' or 'skip': whether images without an annotation file have no objects, as is guessed, or are left out
    unlabelled: str | None = None
    bits: int | None = None  # of a value of 16-bit images, which are copied with 8; by default a guess names dark ones


def text_of(path: Path) -> str:
    """Return the content of a text file in UTF-8 or, with a byte order mark, in UTF-16.

    Bytes that are no UTF-8 become surrogates, as in the names of files, so that such names agree.
    """
    content = path.read_bytes()
    if content.startswith((b'\xff\xfe', b'\xfe\xff')):  # as PowerShell writes
        return content.decode('utf-16', errors='replace')
    return content.decode('utf-8-sig', errors='surrogateescape')


class Files:
    """The regular files below folders, found by paths of which only the end may be right.

    Hidden files and folders, ``__MACOSX`` and folders that prepare_dataset.py wrote are left out. ``annotations`` is
    the folder of the annotations, if it is another one than ``root``, that of the images; others below ``root`` are not
    read.
    """

    def __init__(self, root: Path, faults: Faults, annotations: Path | None = None, choices: Choices | None = None):
        self.root, self.faults, self.choices = root, faults, choices or Choices()
        self.all = sorted(set(_walk([root, *([annotations] if annotations else [])], faults)))
        self.annotations = [path for path in self.all if path.is_relative_to(annotations or root)]
        self.images = [path for path in self.all if path.suffix.lower() in DATASET_SUFFIXES]
        self.named: set[Path] = set()  # files that are used, or are told with a reason
        self.broken: dict[Path, str] = {}  # annotation files that cannot be read, with the reason
        self._claims: dict[Path, str] = {}
        self._known = {str(path): path for path in self.images}
        self._by_name: dict[str, list[Path]] = defaultdict(list)
        for path in self.images:
            for name in {folded(path.name), folded(path.stem)}:
                self._by_name[name].append(path)

    def ending(self, *suffixes: str) -> list[Path]:
        return [path for path in self.annotations if path.suffix.lower() in suffixes]

    def split_of(self, path: Path, by_name: bool = False) -> str:
        """Return the split that the folders below the root name, the innermost first; ``''`` if they name none.

        With ``by_name`` the name of the file counts as well.
        """
        parts = path.relative_to(self.root).parts if path.is_relative_to(self.root) else path.parts[-1:]
        if not by_name and self.choices.split_by != 'names':
            parts = parts[:-1]
        return next((split for part in reversed(parts) if (split := split_in(PurePosixPath(part).stem))), '')

    def has_namesake(self, name: str) -> bool:
        """Whether an image has this name, in any folder, with or without a suffix, in any spelling."""
        return self._namesakes(name) is not None

    def has_beside(self, path: Path) -> bool:
        """Whether an image with the name of this file is in its folder, but for the suffix."""
        return any(
            image.parent == path.parent and image.stem == path.stem
            for image in self._by_name.get(folded(path.stem), ())
        )

    def is_there(self, name: str) -> bool:
        """Whether an image has exactly this name, in any folder."""
        return any(name == path.name for path in self._by_name.get(folded(name), ()))

    def find_image(self, name: str, folder: Path, preferred: str = '', where: str = '') -> Path | None:
        """Find an image by the name that an annotation gives it; if it is not there, the fault is recorded.

        Args:
            name: A path, of any system, of which the end is right, with or without a suffix, or a URL of Label Studio.
            folder: The folder of the annotation file.
            preferred: A split, whose folder is preferred where several images have the name.
            where: The place of the name, for messages.
        """
        texts = spellings(name)
        for text in texts:
            for base in (folder, self.root) if text else ():
                path = os.path.normpath(os.path.join(base, text.lstrip('/')))
                if path in self._known:
                    self._claims.setdefault(self._known[path], text)
                    return self._known[path]
                if os.path.splitext(path)[1].lower() in DATASET_SUFFIXES and os.path.isfile(path):
                    return Path(path)
        where = where or str(folder)
        namesakes = next(filter(None, map(self._namesakes, reversed(texts))), None)  # decoded ones first
        if namesakes is None:
            self.faults.add('image is not there', DROPPED, f'{where}: {name}')
            return None
        found, candidate = namesakes
        parts = PurePosixPath(candidate).parts
        ranked = sorted(found, key=lambda path: self._agreement(path, parts, folder, preferred), reverse=True)
        best = self._agreement(ranked[0], parts, folder, preferred)
        place = f'{where}: {name}, there is {ranked[0]}'
        if len(ranked) > 1 and best == self._agreement(ranked[1], parts, folder, preferred):
            self.faults.add('several images have the name', DROPPED, f'{place} and {ranked[1]}')
        elif not best[0] and not ELSEWHERE.match(candidate):
            self.faults.add('image is not there, one of its name is in another folder', DROPPED, place)
        elif self._claims.setdefault(ranked[0], candidate) != candidate:
            self.faults.add('image is the only one for several names', DROPPED, place)
        else:
            if not best[0]:
                self.faults.add('image is in another folder than its annotations say', KEPT, place)
            elif len({self.split_of(folder / '_'), self.split_of(ranked[0])} - {''}) > 1:
                self.faults.add('image is in the folder of another split than its annotations', KEPT, place)
            if parts[-1] not in (ranked[0].name, ranked[0].stem):
                self.faults.add('image has another spelling of the name in its annotations', KEPT, place)
            return ranked[0]
        return None

    def _namesakes(self, text: str) -> tuple[list[Path], str] | None:
        """Return the images with the last name of a path, exact ones if there are any, and the path."""
        last = PurePosixPath(text)
        has_suffix = last.suffix.lower() in DATASET_SUFFIXES
        names = [last.name, last.stem] if has_suffix else [last.name]
        names += [UPLOAD.sub('', name) for name in names if UPLOAD.match(name)]
        for name in filter(None, names):
            found = self._by_name.get(folded(name), [])
            exact = [path for path in found if name in (path.name, path.stem)]
            if found:
                return exact or found, text
        return None

    def _agreement(self, path: Path, parts: Sequence[str], folder: Path, preferred: str) -> tuple[bool, int, bool, int]:
        """Return how well an image fits to a path: no folder contradicts, folders that agree, split, nearness."""
        below = path.parent.relative_to(self.root).parts if path.is_relative_to(self.root) else path.parent.parts
        named = [part for part in parts[:-1] if part not in ('/', '.', '..')]
        same = 0
        for mine, other in zip(reversed(below), reversed(named)):
            if folded(mine) != folded(other):
                break
            same += 1
        near = len(os.path.commonpath((os.path.abspath(path), os.path.abspath(folder))))
        is_split = bool(preferred) and self.split_of(path) == preferred
        return same == min(len(below), len(named)), same, is_split, near


def spellings(name: str) -> list[str]:
    """Return a path as it is written, and without what URLs add: ``?d=PATH``, other queries, percent-encoding."""
    texts = [name.replace('\\', '/')]
    if '?' in name:
        path, _, query = texts[0].partition('?')
        texts.append(parse_qs(query)['d'][0] if re.search(r'(^|&)d=.', query) else path)
    texts += [unquote(text) for text in texts if '%' in text]
    return [text for text in dict.fromkeys(texts) if '\0' not in text]


def folded(name: str) -> str:
    """Return a name without differences of case and of Unicode's forms; macOS decomposes letters."""
    return name.casefold() if name.isascii() else unicodedata.normalize('NFC', name).casefold()


def _walk(roots: Iterable[Path], faults: Faults) -> Iterator[Path]:
    """Iterate over regular files; each folder is walked once, linked ones after all others."""
    waiting = [Path(root) for root in roots]
    real = [path.resolve() for path in waiting]
    seen, inside = set(), set(map(str, waiting))
    while waiting:
        for folder, folders, names in os.walk(waiting.pop(0), onerror=lambda error: _unreadable(error, faults)):
            status = os.stat(folder)
            if (status.st_dev, status.st_ino) in seen:
                folders.clear()
                continue
            seen.add((status.st_dev, status.st_ino))
            if PREPARED.issubset(names) and folder not in inside:
                faults.note(PREPARED_FOLDER, folder)
                folders.clear()
                continue
            for name in sorted(folders):
                path = Path(folder, name)
                if is_hidden_name(name):
                    faults.note('file is hidden', f'{path}/')
                elif not path.is_symlink():
                    continue
                elif any(root.is_relative_to(path.resolve()) for root in real):
                    faults.note('link leads to a folder that contains it', str(path))
                else:
                    waiting.append(path)
                folders.remove(name)
            for path in (Path(folder, name) for name in names):
                if path.name.startswith('.'):
                    faults.note('file is hidden', str(path))
                elif os.path.isfile(path):
                    yield path
                else:
                    faults.add('file is a pipe, a device or a link to nothing', DROPPED, str(path))


def _unreadable(error: OSError, faults: Faults) -> None:
    faults.add('folder cannot be read', DROPPED, f'{error.filename}: {error.strerror}')


def split_in(name: str) -> str:
    """Return the split that a name has as a word; ``''`` if it has none."""
    return next((split for split, pattern in SPLITS.items() if pattern.search(name)), '')


def numbers(values: Any, count: int | None = None) -> list[float]:
    """Return a list of numbers as floats, those that are too large for a float as infinity.

    Raises ValueError if it is no list, has another length than ``count``, or an item is no number.
    """
    if not isinstance(values, list | tuple) or (count is not None and len(values) != count):
        raise ValueError('no list of numbers')
    if any(type(value) not in (int, float) for value in values):
        raise ValueError('not made of numbers')
    # a float of a huge integer is an OverflowError
    return [math.inf if value > 1e300 else -math.inf if value < -1e300 else float(value) for value in values]


def number_of(text: str) -> float:
    """Return the number that a text has, or raise ValueError; Python's own spelling with underscores is none here."""
    if '_' in text:
        raise ValueError('no number')
    return float(text)


def size_of(width: Any, height: Any) -> tuple[int, int] | None:
    """Return the size of an image as annotations have it; None if it is none, as the 0 x 0 that some programs write."""
    try:
        sides = numbers([width, height])
    except ValueError:
        return None
    return (int(sides[0]), int(sides[1])) if all(1 <= side < 1e6 for side in sides) else None


def polygon_box(points: Any) -> tuple[float, float, float, float]:
    """Return the box ``(x0, y0, x1, y1)`` around points ``[x, y, x, y, ...]``; raises ValueError for others."""
    points = numbers(points)
    if not points or len(points) % 2:
        raise ValueError('no pairs of numbers')
    return min(points[::2]), min(points[1::2]), max(points[::2]), max(points[1::2])
