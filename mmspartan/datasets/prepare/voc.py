"""Pascal VOC: one XML file an image, in a devkit or anywhere else, with classes of any name.

Corners are counted from 1 and belong to the box, as in the devkit (VOC2012 development kit, Sec. 2.3), unless boxes
that touch the border tell that they are counted from 0.
"""

import os
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path, PurePosixPath

from .documents import Documents
from .faults import DROPPED, Faults
from .shapes import add_images_beside
from .source import DATASET_SUFFIXES, Files, Object, Sample, Source, number_of, size_of, text_of


def read_voc(annotations: Documents, files: Files, faults: Faults) -> Source:
    """Read VOC annotations."""
    source, names = Source('Pascal VOC'), set[str]()
    listed, of_image = _image_sets(files), dict[Path, tuple[str, Sample]]()
    there = {(path.parent.parent, path.stem) for path in (*annotations, *files.broken)}
    missing = [f'{folder}: {name} ({split})' for (folder, name), split in listed.items() if (folder, name) not in there]
    faults.add('image of a list has no annotations', DROPPED, *missing)
    for path, root in annotations.items():
        split = listed.get((path.parent.parent, path.stem), '') if listed else files.split_of(path)
        sample = _read(path, root, split, files, faults)
        if sample is None:
            continue
        if listed and not split:
            faults.add('image is in no list of ImageSets/Main', DROPPED, str(path))
            files.named.add(sample.path)
            continue
        of_image.setdefault(sample.path, (split, sample))
        other = of_image[sample.path][1]
        if other is not sample:
            near, far = sorted((other, sample), key=_nearness, reverse=True)
            faults.add('image has another annotation file, which is used', DROPPED, f'{far.where}: {near.where}')
            of_image[sample.path] = (split if near is sample else of_image[sample.path][0], near)
    for split, sample in of_image.values():
        source.splits[split].append(sample)
        names.update(item.name for item in sample.objects)
    _count_from_zero(source, files, faults)
    if not listed:
        add_images_beside(source, files)
    source.classes = sorted(names)
    return source


def _nearness(sample: Sample) -> tuple[bool, int]:
    """Return whether an image has the name of its annotation file, and how many folders they have in common."""
    common = os.path.commonpath((os.path.abspath(sample.path), os.path.abspath(sample.where)))
    return sample.path.stem == Path(sample.where).stem, len(Path(common).parts)


def _count_from_zero(source: Source, files: Files, faults: Faults) -> None:
    """Convert the corners as they are written, to edges of boxes that are counted from 0."""
    objects = [item for samples in source.splits.values() for sample in samples for item in sample.objects]
    touching = [min(item.box[:2]) for item in objects]
    zeros, ones = touching.count(0), touching.count(1)
    first = {'from-0': 0, 'from-1': 1}.get(files.choices.box_format or '', int(zeros <= ones))
    if bool(zeros) == bool(ones) and not files.choices.box_format:
        other = f'--box-format from-{1 - first}'
        faults.guess(f'corners are counted from {first}', other, *(item.where for item in objects[:1]))
    for item in objects:
        item.box = (item.box[0] - first, item.box[1] - first, *item.box[2:])


def _image_sets(files: Files) -> dict[tuple[Path, str], str]:
    """Return the split of each image that the files of ``ImageSets/Main`` list, by the devkit's folder and name."""
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
                files.named.add(lists[folder, name])
                lines = text_of(lists[folder, name]).splitlines()
                splits.update({(folder, _listed_name(line)): split for line in lines if line.strip()})
    return splits


def _listed_name(line: str) -> str:
    """Return an image's name of a line ``name``, ``name.jpg`` or, in a list of a class, ``name 1``."""
    name = PurePosixPath(re.sub(r'\s+-?[01]$', '', line.strip()).replace('\\', '/'))
    return name.stem if name.suffix.lower() in DATASET_SUFFIXES else name.name


def _read(path: Path, root: ElementTree.Element, split: str, files: Files, faults: Faults) -> Sample | None:
    # images are found by the XML's own name: `filename` is often of another folder, format or project; of two images
    # with that name it tells which
    filename = PurePosixPath((root.findtext('filename') or '').strip().replace('\\', '/')).name
    is_same = PurePosixPath(filename).stem == path.stem and files.is_there(filename)
    is_other = not files.has_namesake(path.stem) and files.has_namesake(filename)
    image = files.find_image(filename if is_same or is_other else path.stem, path.parent, split, str(path))
    if image is None:
        return None
    if filename and not is_other and PurePosixPath(filename).stem != path.stem:
        faults.note('image is the one with the name of the XML file, which names another', f'{path}: {filename}')
    others = [f'{path}: {child.tag}' for child in root if child.tag != 'object' and child.find('.//bndbox') is not None]
    faults.add('element with a box is no object', DROPPED, *others)
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
        if x1 == x0 or y1 == y0:  # a pixel wide by definition, which no object is
            faults.add('box has no width or no height', DROPPED, where)
            continue
        difficult = (item.findtext('difficult') or '').strip() == '1'
        if difficult:
            faults.note('object is marked difficult: training and evaluation ignore it', where)
        objects.append(Object(name, (x0, y0, x1, y1), ignored=difficult, where=where))
    return Sample(image, objects, _size(root), str(path))


def _number(element: ElementTree.Element | None, path: str) -> float:
    return number_of((element.findtext(path) if element is not None else None) or '')


def _size(root: ElementTree.Element) -> tuple[int, int] | None:
    try:
        return size_of(*(_number(root, f'size/{key}') for key in ('width', 'height')))
    except ValueError:
        return None
