"""Pascal VOC: one XML file a picture, in a devkit or anywhere else, with classes of any name.

Corners are counted from 1 and belong to the box, as in the devkit (VOC2012 development kit, Sec. 2.3).
"""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

from .faults import DROPPED, KEPT, Faults
from .source import Files, Object, Picture, Source, split_of


def read_voc(files: Files, faults: Faults) -> Source | None:
    """Read the dataset if it has VOC annotations; None if it has none."""
    annotations = {path: root for path in files.ending('.xml') if (root := _root(path, faults)) is not None}
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
        if path not in annotated and path.parent in beside and not listed:
            source.splits[split_of(path, files.root)].append(Picture(path))
    source.classes = sorted(names)
    return source


def _root(path: Path, faults: Faults) -> ElementTree.Element | None:
    try:
        root = ElementTree.parse(path).getroot()
    except (ElementTree.ParseError, UnicodeDecodeError, ValueError, LookupError) as error:
        faults.add(f'file is no XML ({" ".join(str(error).split())[:80]})', DROPPED, str(path))
        return None
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
                lines = lists[folder, name].read_text(errors='replace').splitlines()
                splits.update({(folder, line.split()[0]): split for line in lines if line.strip()})
    return splits


def _read(path: Path, root: ElementTree.Element, split: str, files: Files, faults: Faults) -> Picture | None:
    # pictures are found by the XML's own name: `filename` is often that of another folder, format or project
    image = files.find_picture(path.stem, path.parent, split)
    image = image or files.find_picture(root.findtext('filename') or '', path.parent, split)
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
