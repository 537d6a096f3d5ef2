"""YOLO: one text file a picture with lines ``class x y w h``, all but the class in shares of the picture.

Read are Ultralytics' layout with a ``data.yaml``, darknet's with ``obj.names``, and labelImg's with a ``classes.txt``.
A line of a polygon or an oriented box gives the box around it; of a pose its box; of a prediction its box.
"""

import math
import os
from collections import defaultdict
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from ...errors import InputError
from .faults import DROPPED, RENAMED, Faults
from .source import SUFFIXES, Files, Object, Picture, Source, polygon_box, split_of, text_of

NAMES = ('obj.names', 'classes.txt', 'classes.names', '_darknet.labels', 'names.txt')


def read_yolo(files: Files, faults: Faults, chosen: Path | None = None) -> Source | None:
    """Read the dataset if it has YOLO annotations; None if it has none.

    Args:
        files: The files of the dataset.
        faults: Faults are added to it.
        chosen: The YAML file that describes the dataset; it is searched by default.

    Raises:
        InputError: If the names of the classes are missing or of a wrong type. The message names the file.
    """
    labels = _label_files(files)
    described = [path for path in ([chosen] if chosen else files.ending('.yaml', '.yml')) if _yaml(path)]
    if described:
        path = min(described, key=lambda path: (path.name not in ('data.yaml', 'data.yml'), len(path.parts)))
        content = _yaml(path)
        source, poses = Source(f'YOLO ({path.name})', _names(path, content)), bool(content.get('kpt_shape'))
        splits = {
            split: [
                image for entry in _as_list(content.get(key)) for image in _images(path, content, entry, files, faults)
            ]
            for split, keys in (('train', ('train',)), ('val', ('val', 'valid')), ('test', ('test',)))
            for key in keys
            if content.get(key)
        }
        train, val = splits.get('train', []), splits.get('val', [])
        if val and set(val) == set(train):  # a common makeshift where there is no validation set
            faults.add('val of data.yaml is train: split anew', DROPPED, str(path))
            splits = {**splits, '': train}
            del splits['train'], splits['val']
    else:
        listed = [path for path in files.all if path.name in NAMES]
        if not listed or chosen:
            return None
        path, poses = min(listed, key=lambda path: len(path.parts)), False
        names = [line.strip() for line in text_of(path).splitlines() if line.strip()]
        source, splits = Source(f'YOLO ({path.name})', names), {}
        for image in files.pictures:
            if labels[image].is_file() or image.parent.name.endswith('_data'):
                splits.setdefault(split_of(image, files.root), []).append(image)
    for split, images in splits.items():
        for image in dict.fromkeys(images):
            label = labels.get(image, _label_file(image))
            source.splits[split].append(_read(image, label, source.classes, poses, faults))
    if not any(source.splits.values()):
        if not described:  # a list of classes beside annotations of another format
            return None
        raise InputError(f'{path}: none of its pictures is there{faults.summary()}')
    for name in sorted({name for name in source.classes if source.classes.count(name) > 1}):
        faults.add('several classes have the same name: they become one', RENAMED, f'{path}: {name}')
    return source


def _yaml(path: Path) -> dict[str, Any]:
    """Return the content of a YAML file that describes a YOLO dataset; {} of any other."""
    try:
        content = yaml.safe_load(text_of(path))
    except yaml.YAMLError as error:
        if path.name in ('data.yaml', 'data.yml'):
            raise InputError(f'{path}: is no YAML: {" ".join(str(error).split())}') from error
        return {}
    is_dataset = isinstance(content, dict) and 'names' in content and ('train' in content or 'val' in content)
    return content if is_dataset else {}


def _names(path: Path, content: dict[str, Any]) -> list[str]:
    names = content['names']
    if isinstance(names, dict):
        names = {int(key) if str(key).isdecimal() else key: name for key, name in names.items()}
        if set(names) != set(range(len(names))):
            raise InputError(f'{path}: names: has the keys {list(names)[:10]}, must have 0, 1, 2, ...')
        names = [names[i] for i in range(len(names))]
    if not isinstance(names, list) or not names:
        raise InputError(f'{path}: names: is {names!r}, must be a list of names')
    if str(content.get('nc', len(names))) != str(len(names)):
        raise InputError(f'{path}: nc: is {content["nc"]}, but names has {len(names)} names')
    return [str(name) for name in names]


def _as_list(entry: Any) -> list:
    return entry if isinstance(entry, list) else [entry]


def _images(path: Path, content: dict[str, Any], entry: Any, files: Files, faults: Faults) -> list[Path]:
    """Return the pictures of an entry of a data.yaml: a folder, or a text file that lists them."""
    base, entry = path.parent / str(content.get('path') or ''), str(entry).replace('\\', '/')
    # Roboflow writes ../train/images for what is train/images
    bare = entry.lstrip('./')
    candidates = [base / entry, path.parent / entry, path.parent / bare, files.root / bare]
    # a path of another computer: its end, of two names at least
    parts = PurePosixPath(entry).parts
    ends = [Path(*parts[i:]) for i in range(1, len(parts) - 1)] if '..' not in parts else []
    candidates += [folder / end for end in ends for folder in (path.parent, files.root)]
    found = next((candidate for candidate in candidates if candidate.exists()), None)
    if found is None:
        raise InputError(f'{path}: {entry}: not there; looked for {", ".join(map(str, dict.fromkeys(candidates[:4])))}')
    found = Path(os.path.normpath(found))
    if found.is_file():
        lines = [line.strip() for line in text_of(found).splitlines() if line.strip()]
        images = [(line, files.find_picture(line, found.parent)) for line in lines]
        faults.add('picture is not there', DROPPED, *(f'{found}: {line}' for line, image in images if image is None))
        return [image for _, image in images if image is not None]
    inside = [image for image in files.pictures if image.is_relative_to(found)]
    return inside or sorted(image for image in found.rglob('*') if image.suffix.lower() in SUFFIXES)


def _label_file(image: Path) -> Path:
    """Return the text file of a picture: the last folder ``images`` of its path is ``labels`` there."""
    parts = list(image.with_suffix('.txt').parts)
    for i in reversed(range(len(parts) - 1)):
        if parts[i] == 'images':
            parts[i] = 'labels'
            return Path(*parts)
    return image.with_suffix('.txt')


def _label_files(files: Files) -> dict[Path, Path]:
    """Return the text file of each picture; if none is where it should be, the one of its name in another folder."""
    labels = {image: _label_file(image) for image in files.pictures}
    if any(label.is_file() for label in labels.values()):
        return labels
    texts = defaultdict(list)
    for path in files.ending('.txt'):
        texts[path.stem].append(path)
    for image in labels:
        found = texts[image.stem]
        near = [path for path in found if path.parent.name == image.parent.name] if len(found) > 1 else found
        if len(near) == 1:
            labels[image] = near[0]
    return labels


def _read(image: Path, labels: Path, classes: list[str], poses: bool, faults: Faults) -> Picture:
    if not labels.is_file():
        return Picture(image)
    objects = []
    for i, line in enumerate(text_of(labels).splitlines(), 1):
        if not line.strip():
            continue
        where = f'{labels}: line {i}'
        try:
            number, *values = map(float, line.split())
        except ValueError:
            faults.add('line is not made of numbers', DROPPED, where)
            continue
        if len(values) not in (4, 5) and not poses and (len(values) < 6 or len(values) % 2):
            faults.add('line has neither a box nor a polygon', DROPPED, where)
        elif not (number.is_integer() and 0 <= number < len(classes)):
            faults.add(f'class is none of the {len(classes)} that have names', DROPPED, where)
        elif not all(map(math.isfinite, values)):
            faults.add('box is not finite', DROPPED, where)
        else:
            box = polygon_box(values) if len(values) > 5 and not poses else _corners(*values[:4])
            objects.append(Object(classes[int(number)], box, relative=True, where=where))
    return Picture(image, objects, where=str(labels))


def _corners(x: float, y: float, width: float, height: float) -> tuple[float, float, float, float]:
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2
