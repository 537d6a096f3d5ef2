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


def documents_of(name: str, paths: list[Path]) -> tuple[dict[str, Documents], dict[Path, str]]:
    """Return files by their kinds, and those that cannot be read with the reason; others are left out.

    ``name`` is JSON or XML. The kinds of XML are the tags of the roots, without namespaces.
    """
    read = dict(JSON=_read_json, XML=_read_xml)[name]
    kinds: dict[str, Documents] = defaultdict(dict)
    broken = {}
    for path in paths:
        try:
            kind, content = read(path)
        except (ElementTree.ParseError, ValueError, LookupError, RecursionError, OSError) as error:
            broken[path] = f'no {name}: {" ".join(str(error).split())[:100]}'
        else:
            if kind:
                kinds[kind][path] = content
    return kinds, broken


def _read_json(path: Path) -> tuple[str | None, Any]:
    content = _parsed(path.read_bytes())
    kind = next((kind for kind, is_kind in JSON_KINDS.items() if is_kind(content)), None)
    if kind == 'labelme':
        content.pop('imageData', None)  # the image once more
    return kind, content


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError as error:
        if 'digits' not in str(error):
            raise
        return json.loads(content, parse_int=lambda text: int(text) if len(text) < 400 else float(text))


def _read_xml(path: Path) -> tuple[str, ElementTree.Element]:
    root = ElementTree.parse(path).getroot()
    for element in root.iter():
        element.tag = str(element.tag).rpartition('}')[2]
    return root.tag, root
