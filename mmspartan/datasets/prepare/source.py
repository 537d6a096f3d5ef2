"""What a dataset consists of before it is checked, and the search for the files in its folder."""

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

SUFFIXES = frozenset(('.jpg', '.jpeg', '.jpe', '.png', '.bmp', '.tif', '.tiff', '.webp'))

# Names of splits, as a word of a folder's or a file's name; `instances_train2017` and `_valid` have one.
SPLITS = {
    'train': re.compile(r'(^|[^a-z])(train|training)([^a-z]|$)', re.I),
    'val': re.compile(r'(^|[^a-z])(val|valid|validation|dev)([^a-z]|$)', re.I),
    'test': re.compile(r'(^|[^a-z])(test|testing)([^a-z]|$)', re.I),
}


# Label Studio names uploads HASH-NAME.jpg; the picture at hand may have the name without the hash.
UPLOAD = re.compile(r'^[0-9a-f]{8}-')


# Files of a folder that prepare_dataset.py wrote, which may be within the source.
PREPARED = {'config.py', 'train.json', 'val.json', 'report.html'}


@dataclass
class Object:
    """An annotated object.

    Args:
        name: Name of its class.
        box: ``(x0, y0, x1, y1)`` in pixels, or in shares of the image's width and height if ``relative``.
        relative: Whether the box is in shares of the image.
        ignored: Whether training and evaluation ignore it: VOC's ``difficult``, COCO's ``iscrowd``.
        where: The place in the annotation file, for messages.
    """

    name: str
    box: tuple[float, float, float, float]
    relative: bool = False
    ignored: bool = False
    where: str = ''


@dataclass
class Picture:
    """An image and its objects.

    Args:
        path: The image file.
        objects: Its objects.
        size: Width and height in pixels, as the annotations say; None if they do not.
        where: The annotation file, for messages; the image file by default.
    """

    path: Path
    objects: list[Object] = field(default_factory=list)
    size: tuple[int, int] | None = None
    where: str = ''


@dataclass
class Source:
    """A dataset as its files describe it.

    Args:
        format: Name of the format and the layout, for the report.
        classes: Names of the classes in the order of their labels.
        splits: Pictures of ``'train'``, ``'val'`` and ``'test'``; of ``''`` if they are not split.
    """

    format: str
    classes: list[str] = field(default_factory=list)
    splits: dict[str, list[Picture]] = field(default_factory=lambda: defaultdict(list))


def text_of(path: Path) -> str:
    """Return the content of a text file; programs on Windows write a byte order mark."""
    return path.read_text(encoding='utf-8-sig', errors='replace')


class Files:
    """The files below a folder, found by paths of which only the end may be right.

    Args:
        root: The folder. Hidden folders, ``__MACOSX`` and folders that prepare_dataset.py wrote are left out.
    """

    def __init__(self, root: Path):
        self.root = root
        self.all = sorted(_walk(root))
        self.pictures = [path for path in self.all if path.suffix.lower() in SUFFIXES]
        self._by_name: dict[str, list[Path]] = defaultdict(list)
        for path in self.pictures:
            self._by_name[path.name].append(path)
            self._by_name[path.stem].append(path)

    def ending(self, *suffixes: str) -> list[Path]:
        return [path for path in self.all if path.suffix.lower() in suffixes]

    def find_picture(self, name: str, folder: Path, preferred: str = '') -> Path | None:
        """Find an image by the name that an annotation gives it.

        Args:
            name: A path, of any system, of which the end is right, with or without a suffix.
            folder: The folder of the annotation file.
            preferred: A split. Its folder is preferred where several images have the name.
        """
        parts = PurePosixPath(name.replace('\\', '/')).parts
        if not parts:
            return None
        for base in (folder, self.root):
            path = base.joinpath(*(part for part in parts if part != '/'))
            if path.suffix.lower() in SUFFIXES and path.is_file():
                return path
        stem = PurePosixPath(parts[-1])
        names = [stem.name, stem.stem] if stem.suffix.lower() in SUFFIXES else [stem.name]
        names += [UPLOAD.sub('', name) for name in names if UPLOAD.match(name)]
        found = next((self._by_name[name] for name in names if name in self._by_name), [])

        def agreement(path: Path) -> tuple[int, bool, int]:
            same = 0
            for mine, other in zip(reversed(path.parts[:-1]), reversed(parts[:-1])):
                if mine != other:
                    break
                same += 1
            near = len(os.path.commonpath((path, folder)))
            return same, bool(preferred) and split_of(path, self.root) == preferred, near

        return max(found, key=agreement, default=None)


def _walk(root: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(root, followlinks=True):
        if PREPARED.issubset(names) and folder != str(root):
            folders.clear()
            continue
        folders[:] = [
            name for name in folders if not name.startswith('.') and name != '__MACOSX' and not _is_loop(folder, name)
        ]
        yield from (Path(folder, name) for name in names if not name.startswith('.'))


def _is_loop(folder: str, name: str) -> bool:
    """Whether a folder is a link to one that contains it."""
    path = os.path.join(folder, name)
    return os.path.islink(path) and Path(folder).resolve().is_relative_to(os.path.realpath(path))


def split_of(path: Path, root: Path) -> str:
    """Return the split that a path below ``root`` names, the innermost name first; ``''`` if it names none."""
    for part in reversed(path.relative_to(root).parts if path.is_relative_to(root) else path.parts[-1:]):
        for split, pattern in SPLITS.items():
            if pattern.search(PurePosixPath(part).stem):
                return split
    return ''


def polygon_box(points: Sequence[float]) -> tuple[float, float, float, float]:
    """Return the box ``(x0, y0, x1, y1)`` around points ``[x, y, x, y, ...]``."""
    return min(points[::2]), min(points[1::2]), max(points[::2]), max(points[1::2])
