"""Pascal VOC: one XML file a picture, in a devkit or anywhere else, with classes of any name.

Corners are counted from 1 and belong to the box, as in the devkit (VOC2012 development kit, Sec. 2.3).
"""

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path, PurePosixPath

from .faults import DROPPED, KEPT, Faults
from .source import SUFFIXES, Files, Object, Picture, Source, split_of, text_of


def read_voc(files: Files, faults: Faults) -> Source | None:
    """Read the dataset if it has VOC annotations; None if it has none."""
    broken = set[str]()  # their pictures are no pictures without objects
    annotations = {path: root for path in files.ending('.xml') if (root := _root(path, faults, broken)) is not None}
    if not annotations:
        return None
    source, names = Source('Pascal VOC'), set[str]()
    listed = _image_sets(files)
    for path, root in annotations.items():
        split = listed.get((path.parent.parent, path.stem), '' if listed else split_of(path, files.root))
        picture = _read(path, root, split, files, faults)
        if picture is not None:
            source.splits[split].append(picture)
            names.update(item.name for item in picture.objects)
    if listed and source.splits.pop('', []):
        unlisted = [str(path) for path in annotations if (path.parent.parent, path.stem) not in listed]
        faults.add('picture is in no list of ImageSets/Main', DROPPED, *unlisted)
    annotated = {picture.path for pictures in source.splits.values() for picture in pictures}
    beside = {path.parent for path in annotated}
    for path in files.pictures:
        if path not in annotated and path.parent in beside and path.stem not in broken and not listed:
            source.splits[split_of(path, files.root)].append(Picture(path))
    source.classes = sorted(names)
    return source


def _root(path: Path, faults: Faults, broken: set[str]) -> ElementTree.Element | None:
    try:
        root = ElementTree.parse(path).getroot()
    except (ElementTree.ParseError, UnicodeDecodeError, ValueError, LookupError) as error:
        faults.add(f'file is no XML ({" ".join(str(error).split())[:80]})', DROPPED, str(path))
        broken.add(path.stem)
        return None
    for element in root.iter():
        element.tag = str(element.tag).rpartition('}')[2]  # without a namespace
    return root if root.tag == 'annotation' else None


def _image_sets(files: Files) -> dict[tuple[Path, str], str]:
    """Return the split of each picture that the files of ``ImageSets/Main`` list, by the devkit's folder and name."""
    lists = {
        (path.parent.parent.parent, path.stem): path
        for path in files.ending('.txt')
        if path.parent.name == 'Main' and path.parent.parent.name == 'ImageSets'
    }
    splits: dict[tuple[Path, str], str] = {}
    for folder in {folder for folder, _ in lists}:
        # trainval is train and val together; where these are not there, it is the training set
        whole = {'train': 'train'} if (folder, 'train') in lists else {'trainval': 'train'}
        for name, split in {**whole, 'val': 'val', 'test': 'test'}.items():
            if (folder, name) in lists:
                lines = text_of(lists[folder, name]).splitlines()
                splits.update({(folder, _listed_name(line)): split for line in lines if line.strip()})
    return splits


def _listed_name(line: str) -> str:
    """Return a picture's name of a line ``name``, ``name.jpg`` or, in a list of a class, ``name 1``."""
    name = PurePosixPath(re.sub(r'\s+-?[01]$', '', line.strip()).replace('\\', '/'))
    return name.stem if name.suffix.lower() in SUFFIXES else name.name


def _read(path: Path, root: ElementTree.Element, split: str, files: Files, faults: Faults) -> Picture | None:
    # pictures are found by the XML's own name: `filename` is often that of another folder, format or project; of two
    # pictures with that name it tells which
    filename = PurePosixPath((root.findtext('filename') or '').strip().replace('\\', '/')).name
    names = [filename, path.stem] if PurePosixPath(filename).stem == path.stem else [path.stem, filename]
    image = next((found for name in names if (found := files.find_picture(name, path.parent, split))), None)
    if image is None:
        faults.add('picture is not there', DROPPED, str(path))
        return None
    objects = []
    for i, item in enumerate(root.findall('object'), 1):
        where = f'{path}: object {i}'
        name, corners = item.findtext('name'), item.find('bndbox')
        try:
            x0, y0, x1, y1 = (_number(corners, key) for key in ('xmin', 'ymin', 'xmax', 'ymax'))
        except ValueError:
            faults.add('object has no box of four numbers', DROPPED, where)
            continue
        if not name or not name.strip():
            faults.add('object has no name', DROPPED, where)
            continue
        difficult = (item.findtext('difficult') or '').strip() == '1'
        if difficult:
            faults.add('object is marked difficult: training and evaluation ignore it', KEPT, where)
        objects.append(Object(name, (x0 - 1, y0 - 1, x1, y1), ignored=difficult, where=where))
    return Picture(image, objects, _size(root), str(path))


def _number(element: ElementTree.Element | None, path: str) -> float:
    return float((element.findtext(path) if element is not None else None) or '')


def _size(root: ElementTree.Element) -> tuple[int, int] | None:
    try:
        width, height = (int(_number(root, f'size/{key}')) for key in ('width', 'height'))
    except (ValueError, OverflowError):
        return None
    return (width, height) if width > 0 and height > 0 else None  # some programs write 0
