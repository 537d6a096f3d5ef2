"""YOLO: one text file an image with lines ``class x y w h``, all but the class in shares of the image.

Read are Ultralytics' layout with a ``data.yaml``, darknet's with ``obj.names``, and labelImg's with a ``classes.txt``.
A line of a polygon or an oriented box gives the box around it; of a pose, a prediction or a track its box.
"""

import math
import os
from collections import defaultdict
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

import yaml

from ...errors import InputError
from .faults import DROPPED, KEPT, RENAMED, Faults
from .source import Files, Object, Sample, Source, folded, number_of, polygon_box, text_of

NAMES = ('obj.names', 'classes.txt', 'classes.names', '_darknet.labels', 'names.txt')
LABEL = r'\s*[\d.]+([ \t]+-?[\d.][\d.eE+-]*){4,}[ \t]*\r?(\n|$)'  # the first line of a label file
NULL = ('', '~', 'null', 'Null', 'NULL')  # as YAML has it


def read_yolo(files: Files, faults: Faults, chosen: Path | None = None) -> Source | None:
    """Read the dataset if it has YOLO annotations; None if it has none.

    ``chosen`` is the file with the names of the classes, which is searched by default. Raises InputError if these names
    are missing or of a wrong type.
    """
    yamls = [chosen] if chosen else files.ending('.yaml', '.yml')
    described = {path: content for path in yamls if (content := _yaml(path, files))}
    source, path, splits = (_described if described else _listed)(files, faults, chosen, described)
    if not any(splits.values()):
        if not described:  # a list of classes beside annotations of another format
            return None
        raise InputError(f'{path}: none of its images is there{faults.summary()}')
    images = list(dict.fromkeys(image for images in splits.values() for image in images))
    labels = _label_files(images, files, faults)
    lines = {label: text_of(label).splitlines() for label in set(labels.values())}
    files.named.update(lines, [path])
    tracks = _are_tracks(lines, files, faults)
    only_box = described.get(path, {}).get('kpt_shape', '') not in NULL
    empty = [str(label) for label, found in lines.items() if not any(map(str.strip, found))]
    faults.note('label file is empty: its image has no objects', *empty)
    for split, images in splits.items():
        for image in dict.fromkeys(images):
            label = labels.get(image)
            objects = _objects(label, lines[label], source.classes, tracks, only_box, faults) if label else []
            source.splits[split].append(Sample(image, objects, where=str(label or '')))
    for name in sorted({name for name in source.classes if source.classes.count(name) > 1}):
        faults.add('several classes have the same name: they become one', RENAMED, f'{path}: {name}')
    return source


Splits = dict[str, list[Path]]


def _described(
    files: Files, faults: Faults, chosen: Path | None, described: dict[Path, dict[str, Any]]
) -> tuple[Source, Path, Splits]:
    """Read the classes and images that a YAML file names."""
    path = min(described, key=lambda path: (path.name not in ('data.yaml', 'data.yml'), len(path.parts)))
    content = described[path]
    others = [other for other in described if other != path and described[other] != content]
    faults.guess(f'{path.name} describes the dataset, and no other YAML file', 'another as SOURCE', *map(str, others))
    splits = {
        split: [image for entry in _as_list(content[key]) for image in _images(path, content, entry, files, faults)]
        for split, keys in (('train', ('train',)), ('val', ('val', 'valid')), ('test', ('test',)))
        for key in keys
        if content.get(key, '') not in NULL
    }
    if not os.path.isdir(path.parent / str(content.get('path', ''))):
        faults.note('path of the file is not there: the folder of the file is used', f'{path}: {content["path"]}')
    train, val = splits.get('train', []), splits.get('val', [])
    if val and set(val) == set(train):  # a common makeshift where there is no validation set
        faults.add('val of data.yaml is train: split anew', DROPPED, str(path))
        splits = {**splits, '': train}
        del splits['train'], splits['val']
    return Source(f'YOLO ({path.name})', _names(path, content)), path, splits


def _listed(files: Files, faults: Faults, chosen: Path | None, described: dict) -> tuple[Source, Path, Splits]:
    """Read the classes of a text file, and the images that have label files."""
    listed = [chosen] if chosen else [path for path in files.annotations if path.name in NAMES]
    if not listed or listed[0] in files.broken:
        return Source('YOLO'), Path(), {}
    path = min(listed, key=lambda path: len(path.parts))
    lines = {other: [line.strip() for line in text_of(other).rstrip().splitlines()] for other in listed}
    splits: Splits = {}
    labelled = _label_files(files.images, files, Faults())
    for image in files.images:
        if image in labelled or image.parent.name.endswith('_data'):
            splits.setdefault(files.split_of(image), []).append(image)
    if splits and '' in lines[path]:
        raise InputError(f'{path}: line {lines[path].index("") + 1}: is empty, and each line is the name of a class')
    if splits:
        for broken, reason in files.broken.items():  # it may have other names
            raise InputError(f'{broken}: {reason}; correct or remove it, or give {path} as SOURCE')
        others = [str(other) for other in listed if lines[other] != lines[path]]
        faults.guess(f'classes are the lines of {path.name}, and of no other such file', 'another as SOURCE', *others)
        files.named.update(listed)
    return Source(f'YOLO ({path.name})', lines[path]), path, splits


def _yaml(path: Path, files: Files) -> dict[str, Any]:
    """Return the content of a YAML file that describes a YOLO dataset, in which all values are texts; {} of any other.

    YAML 1.1 has words and numbers that are no texts, and classes have names such as ``no``, ``010`` and ``12:30``.
    """
    if path.suffix.lower() not in ('.yaml', '.yml'):
        return {}
    try:
        content = yaml.load(text_of(path), yaml.BaseLoader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        if path.name in ('data.yaml', 'data.yml'):
            raise InputError(f'{path}: is no YAML: {" ".join(str(error).split())}') from error
        files.broken[path] = f'no YAML: {" ".join(str(error).split())[:100]}'
        return {}
    is_dataset = isinstance(content, dict) and not {'names', 'nc'}.isdisjoint(content)
    return content if is_dataset and not {'train', 'val'}.isdisjoint(content) else {}


def _names(path: Path, content: dict[str, Any]) -> list[str]:
    names = content.get('names')
    if isinstance(names, dict):
        keys = {int(key) if str(key).isdecimal() and len(key) < 10 else key: name for key, name in names.items()}
        if set(keys) != set(range(len(names))):
            raise InputError(f'{path}: names: has the keys {list(keys)[:10]}, must have 0, 1, 2, ...')
        names = [keys[i] for i in range(len(keys))]
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        shown = repr(names) if isinstance(names, str | None) else 'a list of other things'
        raise InputError(f'{path}: names: is {shown}, must be a list of names')
    if str(content.get('nc', len(names))) != str(len(names)):
        raise InputError(f'{path}: nc: is {content["nc"]!r:.40}, but names has {len(names)} names')
    return names


def _as_list(entry: Any) -> list:
    return entry if isinstance(entry, list) else [entry]


def _images(path: Path, content: dict[str, Any], entry: Any, files: Files, faults: Faults) -> list[Path]:
    """Return the images of an entry of a data.yaml: a folder, or a text file that lists them."""
    if not isinstance(entry, str) or not isinstance(content.get('path', ''), str):
        raise InputError(f'{path}: path, train, val and test must be names of folders or of text files')
    base, entry = path.parent / content.get('path', ''), entry.replace('\\', '/')
    # Roboflow writes ../train/images for what is train/images
    bare = entry.lstrip('./')
    candidates = [base / entry, path.parent / entry, path.parent / bare, files.root / bare]
    # a path of another computer: its end, of two names at least
    parts = PurePosixPath(entry).parts
    ends = [Path(*parts[i:]) for i in range(1, len(parts) - 1)] if '..' not in parts else []
    candidates += [folder / end for end in ends for folder in (path.parent, files.root)]
    found = next((candidate for candidate in candidates if os.path.isdir(candidate) or os.path.isfile(candidate)), None)
    if found is None:
        looked = ', '.join(map(str, dict.fromkeys(candidates[:4])))
        raise InputError(f'{path}: {entry}: not there; looked for {looked}')
    if found in candidates[4:]:
        faults.note('path is of another computer: its end is used', f'{path}: {entry}, used is {found}')
    found = Path(os.path.normpath(found))
    if found.is_file():
        files.named.add(found)
        lines = [line.strip() for line in text_of(found).splitlines() if line.strip()]
        images = [files.find_image(line, found.parent, where=str(found)) for line in lines]
        return [image for image in images if image is not None]
    inside = [image for image in files.images if image.is_relative_to(found)]
    return inside or Files(found, faults).images


def _label_file(image: Path) -> Path:
    """Return the text file of an image: the last folder ``images`` of its path is ``labels`` there."""
    parts = list(image.with_suffix('.txt').parts)
    for i in reversed(range(len(parts) - 1)):
        if parts[i] == 'images':
            parts[i] = 'labels'
            return Path(*parts)
    return image.with_suffix('.txt')


def _label_files(images: list[Path], files: Files, faults: Faults) -> dict[Path, Path]:
    """Return the text file of each image that has one.

    If it is not where it should be, it is the one beside the image, or the only one of its name in another folder.
    """
    labels = {image: label for image in images if os.path.isfile(label := _label_file(image))}
    are_elsewhere = not labels
    images_of = defaultdict(list)
    for image, label in labels.items():
        images_of[label].append(str(image))
    faults.add(
        'label file is of several images', KEPT, *(f'{a}: {", ".join(b)}' for a, b in images_of.items() if len(b) > 1)
    )
    free = defaultdict(list)
    for path in files.ending('.txt'):
        if path not in images_of and path not in files.named and path.name not in NAMES:
            free[folded(unquote(path.stem))].append(path)
    taken = set[Path]()
    for image in images:
        found = free[folded(image.stem)] if image not in labels else []
        beside = [path for path in found if path.parent == image.parent]
        near = beside or [path for path in found if path.parent.name == image.parent.name] or found
        if not are_elsewhere:
            near = [path for path in near if beside or files.split_of(path) == files.split_of(image)]
        if len(near) == 1 and near[0] not in taken:
            labels[image] = near[0]
            taken.add(near[0])
            if not are_elsewhere:
                faults.add('label file is in another folder or has another spelling', KEPT, f'{near[0]}: {image}')
    return labels


def _are_tracks(lines: dict[Path, list[str]], files: Files, faults: Faults) -> bool:
    """Whether lines of six values are a box, a confidence and the number of a track, not a polygon."""
    chosen = files.choices.box_format
    found = [(label, row[6]) for label, rows in lines.items() for line in rows if len(row := line.split()) == 7]
    try:
        values = [float(value) for _, value in found]
    except ValueError:
        values = []
    if chosen or not values or not all(value.is_integer() for value in values):
        return chosen == 'track'
    if max(values) <= 1:
        what = 'lines of six values are a box, a confidence and the number of a track'
        faults.guess(what, '--box-format polygon', str(found[0][0]))
    return True


def _objects(
    label: Path, lines: list[str], classes: list[str], tracks: bool, only_box: bool, faults: Faults
) -> list[Object]:
    objects = []
    for i, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f'{label}: line {i}'
        try:
            number, *values = map(number_of, line.split())
        except ValueError:
            faults.add('line is not made of numbers', DROPPED, where)
            continue
        is_box = only_box or len(values) in (4, 5) or (tracks and len(values) == 6)
        if len(values) < 4 or (not is_box and len(values) % 2):
            faults.add('line has neither a box nor a polygon', DROPPED, where)
        elif not (number.is_integer() and 0 <= number < len(classes)):
            faults.add(f'class is none of the {len(classes)} that have names', DROPPED, where)
        elif not all(map(math.isfinite, values)):
            faults.add('box is not finite', DROPPED, where)
        else:
            if len(values) == 5:
                faults.note('line has a confidence, as predictions have', where)
            box = _corners(*values[:4]) if is_box else polygon_box(values)
            objects.append(Object(classes[int(number)], box, relative=True, where=where))
    return objects


def _corners(x: float, y: float, width: float, height: float) -> tuple[float, float, float, float]:
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2
