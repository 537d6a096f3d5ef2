"""XML and JSON files of a dataset, by what they hold; each is read once."""

import json
import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

Documents = dict[Path, Any]


def _is_entries(value: Any, *keys: str) -> bool:
    """Whether a value is a list of dicts of which the first has the keys."""
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict) and set(keys) <= set(value[0])


# Kinds of JSON files, by what tells them.
JSON_KINDS: dict[str, Callable[[Any], bool]] = {
    'coco': lambda c: isinstance(c, dict) and all(isinstance(c.get(key), list) for key in ('images', 'annotations')),
    'labelme': lambda c: isinstance(c, dict) and 'shapes' in c and 'imagePath' in c,
    'via': lambda c: (
        isinstance(c, dict) and ('_via_img_metadata' in c or _is_entries(list(c.values())[:1], 'filename', 'regions'))
    ),
    'label studio': lambda c: _is_entries(c, 'data', 'annotations') or _is_entries(c, 'data', 'completions'),
    'supervisely': lambda c: (
        isinstance(c, dict) and isinstance(c.get('objects'), list) and isinstance(c.get('size'), dict)
    ),
    'json-min': lambda c: _is_entries(c, 'annotation_id', 'annotator'),
    'frames': lambda c: isinstance(c, dict) and 'frames' in c,
    'createml': lambda c: _is_entries(c, 'image', 'annotations'),
}


def json_documents(paths: list[Path]) -> tuple[dict[str, Documents], dict[Path, str]]:
    """Return the JSON files by their kinds, and the files that cannot be read with the reason; others are left out."""
    kinds: dict[str, Documents] = defaultdict(dict)
    broken = {}
    for path in paths:
        try:
            content = _parsed(path.read_bytes())
        except (ValueError, RecursionError, OSError) as error:  # UnicodeDecodeError is a ValueError
            broken[path] = f'no JSON: {" ".join(str(error).split())[:100]}'
            continue
        kind = next((kind for kind, is_kind in JSON_KINDS.items() if is_kind(content)), None)
        if kind == 'labelme':
            content.pop('imageData', None)  # the image once more
        if kind:
            kinds[kind][path] = content
    return kinds, broken


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError as error:
        if 'digits' not in str(error):
            raise
        return json.loads(content, parse_int=lambda text: int(text) if len(text) < 400 else float(text))


def xml_documents(paths: list[Path]) -> tuple[dict[str, Documents], dict[Path, str]]:
    """Return the roots of XML files by their tags without namespaces, and the files that cannot be read."""
    kinds: dict[str, Documents] = defaultdict(dict)
    broken = {}
    for path in paths:
        try:
            root = ElementTree.parse(path).getroot()
        except (ElementTree.ParseError, ValueError, LookupError, RecursionError, OSError) as error:
            broken[path] = f'no XML: {" ".join(str(error).split())[:100]}'
            continue
        for element in root.iter():
            element.tag = str(element.tag).rpartition('}')[2]
        kinds[root.tag][path] = root
    return kinds, broken
