"""Reading of a dataset whose format is found out, and an account of all of its files."""

import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from ...errors import InputError
from .coco import read_coco_files
from .cvat import read_cvat
from .documents import Documents, documents_of
from .faults import DROPPED, KEPT, Faults
from .label_studio import read_label_studio
from .labelme import read_labelme, read_supervisely
from .source import BOX_FORMATS, PREPARED_FOLDER, Choices, Files, Sample, Source, split_in
from .via import read_via
from .voc import read_voc
from .yolo import LABEL, read_yolo

Reader = Callable[[Documents, Files, Faults], Source]
XML_READERS: dict[str, Reader] = {'annotation': read_voc, 'annotations': read_cvat}
JSON_READERS: dict[str, Reader] = {
    'coco': read_coco_files,
    'labelme': read_labelme,
    'via': read_via,
    'label studio': read_label_studio,
    'supervisely': read_supervisely,
}
# How formats are called, where their files do not say it.
NAMES = {
    'annotation': 'Pascal VOC',
    'annotations': 'CVAT',
    'coco': 'COCO',
    'via': 'VIA',
    'label studio': 'Label Studio',
    'supervisely': 'Supervisely',
}
OF_ANOTHER_FORMAT = ('file is of another format; give its folder, or the file itself, as a further SOURCE', DROPPED)
WITHOUT_ANNOTATIONS = ('image has no annotations', DROPPED)  # a fault, and what is done
ONE_FILE_AN_IMAGE = {'annotation', 'labelme', 'supervisely'}
# Kinds of JSON files that are not read, and the way to one that is.
NOT_READ = {
    'frames': 'annotations of videos or scenes by frames: export them as COCO',
    'json-min': "Label Studio's JSON-MIN: export the tasks as JSON",
    'createml': "CreateML's annotations: convert them to COCO, for instance by Roboflow",
}


def read_sources(
    paths: Sequence[Path], faults: Faults, images: Path | None = None, choices: Choices | None = None
) -> tuple[Source, Path]:
    """Read one or several datasets, of the same or of other formats, as one; see :func:`read_source`.

    Classes of one name are one class. The name of a source decides on the split of its images, if nothing in it does.
    Returns the dataset, and the folder that all images are below.
    """
    choices = choices or Choices()
    told = [Faults() for _ in paths]
    read = [read_source(path, each, images, choices) for path, each in zip(paths, told)]
    found, roots = [source for source, _ in read], [root for _, root in read]
    _check_box_format(found, choices)
    images_of = [
        {sample.path for samples in source.splits.values() for sample in samples if sample.where} for source in found
    ]
    annotated = set[Path]().union(*images_of)
    for path, each in zip(paths, told):  # what one source does not use another one may
        unused = each.places.get(WITHOUT_ANNOTATIONS, [])
        each.places[WITHOUT_ANNOTATIONS] = [place for place in unused if Path(place) not in annotated]
        below = [other for other in paths if other != path and other.is_relative_to(path)]
        unread = each.places.get(OF_ANOTHER_FORMAT, [])
        files = {place: Path(place.rpartition(': ')[0]) for place in unread}
        each.places[OF_ANOTHER_FORMAT] = [
            place for place, file in files.items() if not any(map(file.is_relative_to, below))
        ]
        faults.merge(each)
    whole = Source(', '.join(dict.fromkeys(source.format for source in found)))
    if len(paths) > 1 and choices.split_by != 'nothing':
        _divide_by_names(paths, found, images_of, faults)
    for source in found:
        whole.classes += [name for name in source.classes if name not in whole.classes]
        for split, samples in source.splits.items():
            whole.splits[split] += [sample for sample in samples if sample.where or sample.path not in annotated]
        if not (source.splits.get('train') or source.splits.get('val')):
            whole.undivided.update(sample.path for sample in source.splits.get('', []))
    _join(whole, faults)
    return whole, Path(os.path.commonpath(list(map(os.path.abspath, roots))))


def _divide_by_names(
    paths: Sequence[Path], sources: Sequence[Source], images_of: Sequence[set[Path]], faults: Faults
) -> None:
    """Give sources the split that their name has, if nothing in them names one and no other annotates their images."""
    owners = Counter(path for images in images_of for path in images)
    for path, source, images in zip(paths, sources, images_of):
        whole = Path(os.path.abspath(path))
        names = [whole.stem, whole.parent.name] if whole.is_file() else [whole.name]
        split = next(filter(None, map(split_in, names)), '')
        if split and not any(source.splits) and all(owners[image] == 1 for image in images):
            source.splits = {split: source.splits['']}
            faults.note(f'source is used for {split}, by its name', str(path))


def read_source(
    path: Path, faults: Faults, images: Path | None = None, choices: Choices | None = None
) -> tuple[Source, Path]:
    """Read the annotations of a dataset; the images are searched, but not read.

    Args:
        path: A folder, one annotation file, or the YAML or names file of a YOLO dataset.
        faults: Faults are added to it, also for each file that is not used.
        images: Folder of the images if it is not below ``path``, or beside the annotation file.

    Returns:
        tuple: The dataset, and the folder below which its images were searched.

    Raises:
        InputError: If the path does not exist, has no annotations of a known format or none that can be read, or has no
            image.
    """
    path, choices = Path(os.path.normpath(path)), choices or Choices()
    if not path.exists():
        raise InputError(f'{path}: no such file or folder')
    if choices.box_format not in (None, *BOX_FORMATS):
        raise InputError(f'--box-format must be one of {", ".join(BOX_FORMATS)}, got {choices.box_format}')
    root = images or (path if path.is_dir() else path.parent)
    if not root.is_dir():
        raise InputError(f'{root}: is no folder')
    chosen = path if path.is_file() else None
    if not path.is_dir() and (chosen is None or chosen.suffix.lower() not in ENDINGS):
        raise InputError(f'{path}: is neither a folder nor an annotation file ({", ".join(ENDINGS)})')
    files = Files(root, faults, None if chosen else path, choices)
    of_annotations = Path(os.path.abspath(root)).name.lower() == 'annotations'
    of_annotations |= chosen is not None and root.parent not in (root, Path('/'))
    if not files.images and of_annotations and images is None:
        root = Path(os.path.normpath(root / '..'))  # annotations/ beside the folders of the images
        faults.clear()
        files = Files(root, faults, None, choices)
    readers = (ENDINGS[chosen.suffix.lower()],) if chosen else (read_yolo, read_xml, read_json)
    # a data.yaml or XML files say what a dataset is; a JSON file among them may be anything
    source = next((found for reader in readers if (found := reader(files, faults, chosen)) is not None), None)
    if source is None:
        prepared = faults.notes.get((PREPARED_FOLDER, ''))
        broken = [f'; {file}: {reason}' for file, reason in list(files.broken.items())[:1]]
        raise InputError(
            f'{path}: no annotations found: neither a COCO, labelme, VIA, Label Studio or Supervisely file (JSON), nor '
            'Pascal VOC or CVAT (XML), nor YOLO (data.yaml, obj.names or classes.txt, with a text file an image)'
            + ''.join(broken)
            + (
                f'; {prepared[0]} was written by prepare_dataset.py: name that folder itself as a source'
                if prepared
                else ''
            )
        )
    if not any(source.splits.values()):
        raise InputError(
            f'{path}: {source.format}: none of its images is below {root}'
            + ('' if files.images else ', where there is no image at all; name their folder by --pictures')
            + faults.summary()
        )
    if any(not ' '.join(name.split()) for name in source.classes):
        raise InputError(f'{path}: {source.format}: a class has an empty name')
    _join(source, faults)
    if choices.split_by == 'nothing':
        source.splits = {'': [sample for samples in source.splits.values() for sample in samples]}
    elif choices.split_by == 'folders' and not any(split for split, used in source.splits.items() if used):
        named = [sample.path for sample in source.splits[''] if split_in(sample.path.stem)]
        if len({split_in(name.stem) for name in named}) > 1:
            faults.guess('names of images do not decide on the split', '--split-by names', *map(str, named))
    if chosen is None:
        _account(files, source, faults)
    return source, root


def _check_box_format(sources: Sequence[Source], choices: Choices) -> None:
    """Check that the chosen convention of boxes is one of the format of a source."""
    format = BOX_FORMATS.get(choices.box_format or '', '')
    if not any(source.format.startswith(format) for source in sources):
        names = ', '.join(source.format for source in sources)
        raise InputError(f'--box-format {choices.box_format} is of {format}; the source is {names}')


def read_xml(files: Files, faults: Faults, chosen: Path | None = None) -> Source | None:
    """Read XML files of the first kind of XML_READERS that is there; None if there is none."""
    return _read(XML_READERS, 'XML', chosen, files, faults)[0]


def read_json(files: Files, faults: Faults, chosen: Path | None = None) -> Source | None:
    """Read JSON files of the first kind of JSON_READERS that is there; None if there is none."""
    source, kinds = _read(JSON_READERS, 'JSON', chosen, files, faults)
    for kind in NOT_READ if source is None else ():
        if kind in kinds:
            raise InputError(f'{next(iter(kinds[kind]))}: {NOT_READ[kind]}')
    return source


ENDINGS = {
    '.json': read_json,
    '.xml': read_xml,
    **dict.fromkeys(('.yaml', '.yml', '.txt', '.names', '.labels'), read_yolo),
}


def _read(
    readers: dict[str, Reader], name: str, chosen: Path | None, files: Files, faults: Faults
) -> tuple[Source | None, dict[str, Documents]]:
    """Return the dataset, if there is one, and all documents by their kinds."""
    kinds, broken = documents_of(name, [chosen] if chosen else files.ending(f'.{name.lower()}'))
    files.broken.update(broken)
    kind = next((kind for kind in readers if kind in kinds), None)
    if kind is None:
        return None, kinds
    if broken and kind not in ONE_FILE_AN_IMAGE:  # it may hold a split
        path, reason = next(iter(broken.items()))
        raise InputError(f'{path}: {reason}')
    files.named.update(kinds[kind])
    return readers[kind](kinds[kind], files, faults), kinds


def _join(source: Source, faults: Faults) -> None:
    """Make one image of those that several entries of a split describe; another size is left for the check."""
    for split, samples in source.splits.items():
        joined: dict[tuple, Sample] = {}
        for sample in samples:
            first = joined.setdefault((sample.path, sample.size), sample)
            if first is not sample:
                first.objects += sample.objects
                faults.add('image is in several entries: joined', KEPT, f'{sample.path}: {sample.where}')
        source.splits[split] = list(joined.values())


def _is_label(path: Path) -> bool:
    with open(path, encoding='utf-8-sig', errors='replace') as file:
        return re.match(LABEL, file.readline(1000)) is not None


def _format_of(path: Path) -> str:
    """Return the name of the format of a JSON or XML file that could be read; '' for others."""
    name = path.suffix.upper().removeprefix('.')
    readers = {'JSON': JSON_READERS, 'XML': XML_READERS}.get(name, {})
    kinds, _ = documents_of(name, [path]) if readers else ({}, {})
    return next((NAMES.get(kind, kind) for kind in kinds if kind in readers), '')


def _account(files: Files, source: Source, faults: Faults) -> None:
    """Record each file that is neither used nor told already, with the reason."""
    used = files.named | {sample.path for samples in source.splits.values() for sample in samples}
    rest = [path for path in files.all if path not in used]
    if not used.issubset(files.all) or any(map(os.path.islink, rest)):  # used by another name
        real = set(map(os.path.realpath, used))
        rest = [path for path in rest if os.path.realpath(path) not in real]
    images, annotations = set(files.images), set(files.annotations)
    for path in rest:
        suffix = path.suffix.lower()
        if path in files.broken:
            faults.add('annotation file cannot be read', DROPPED, f'{path}: {files.broken[path]}')
        elif path in images:
            faults.add(*WITHOUT_ANNOTATIONS, str(path))
        elif path not in annotations:  # among the images alone
            continue
        elif format := _format_of(path):
            faults.add(*OF_ANOTHER_FORMAT, f'{path}: {format}')
        elif suffix in ('.json', '.xml', '.csv'):
            faults.add(f'file is no annotation file of {source.format.partition(" (")[0]}', DROPPED, str(path))
        elif suffix == '.txt' and _is_label(path):
            faults.add('label file belongs to no image', DROPPED, str(path))
        else:
            faults.note('file is no image and no annotation', str(path))
