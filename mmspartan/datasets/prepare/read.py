"""Reading of a dataset whose format is found out."""

import json
import os
import xml.etree.ElementTree as ElementTree
from contextlib import suppress
from pathlib import Path

from ...errors import InputError
from .coco import read_coco_files
from .faults import Faults
from .source import Files, Source, text_of
from .voc import read_voc
from .yolo import read_yolo

# Formats that are not read, by the root of XML files and by keys of JSON files, and the way to one that is.
XML_ROOTS = {'annotations': "annotations in CVAT's own XML: export them from CVAT as COCO 1.0"}
JSON_KEYS = {
    ('imagePath', 'shapes'): "labelme's annotations: convert them to COCO, for instance by the package labelme2coco",
    ('frames',): 'annotations of videos or scenes by frames: export them as COCO',
    ('_via_img_metadata',): 'annotations of VGG Image Annotator: export them from VIA as COCO',
}


def read_source(path: Path, faults: Faults, pictures: Path | None = None) -> tuple[Source, Path]:
    """Read the annotations of a dataset; the pictures are searched, but not read.

    Args:
        path: A folder, one COCO file, or one YAML file of a YOLO dataset.
        faults: Faults are added to it.
        pictures: Folder of the pictures if it is not below ``path``, or beside the COCO file.

    Returns:
        tuple: The dataset, and the folder below which its pictures were searched.

    Raises:
        InputError: If the path does not exist, has no annotations of a known format, or has no picture.
    """
    if not path.exists():
        raise InputError(f'{path}: no such file or folder')
    root = pictures or (path if path.is_dir() else path.parent)
    if not root.is_dir():
        raise InputError(f'{root}: is no folder')
    chosen = path if path.is_file() else None
    if chosen and chosen.suffix.lower() not in ('.json', '.yaml', '.yml'):
        raise InputError(f'{path}: is neither a folder nor a COCO file (.json) nor a data.yaml')
    files = Files(root)
    if pictures is not None and path.is_dir():
        files.all = sorted({*files.all, *Files(path).all})
    of_annotations = Path(os.path.abspath(root)).name.lower() == 'annotations'
    of_annotations |= chosen is not None and root.parent not in (root, Path('/'))
    if not files.pictures and of_annotations and pictures is None:
        root = Path(os.path.normpath(root / '..'))  # annotations/ beside the folders of the pictures
        files = Files(root)
    # a data.yaml or XML files say what a dataset is; a JSON file among them may be anything
    readers = (read_yolo, read_voc, read_coco_files)
    for reader in readers if chosen is None else ():
        source = reader(files, faults)
        if source is not None:
            break
    else:
        is_yaml = chosen is not None and chosen.suffix.lower() in ('.yaml', '.yml')
        source = (read_yolo if is_yaml else read_coco_files)(files, faults, chosen)
    if source is None:
        if other := other_format(files):
            raise InputError(f'{path}: {other}')
        raise InputError(
            f'{path}: no annotations found: neither a COCO file (JSON with images and annotations), nor Pascal VOC '
            '(XML files), nor YOLO (data.yaml, obj.names or classes.txt, with a text file a picture)'
        )
    if not any(source.splits.values()):
        raise InputError(
            f'{path}: {source.format}: none of its pictures is below {root}'
            + ('' if files.pictures else ', where there is no picture at all; name their folder by --pictures')
            + faults.summary()
        )
    return source, root


def other_format(files: Files) -> str | None:
    """Return what the first annotation files are that have a known format which is not read; None for others."""
    for path in files.ending('.xml')[:10]:
        with suppress(ElementTree.ParseError, UnicodeDecodeError, ValueError, LookupError):
            if said := XML_ROOTS.get(ElementTree.parse(path).getroot().tag):
                return f'{said} ({path.name})'
    for path in files.ending('.json')[:10]:
        with suppress(ValueError, RecursionError):
            content = json.loads(text_of(path))
            for keys, said in JSON_KEYS.items():
                if isinstance(content, dict) and set(keys) <= set(content):
                    return f'{said} ({path.name})'
    return None
