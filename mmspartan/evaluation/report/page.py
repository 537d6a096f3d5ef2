"""A report as one HTML page: pictures are embedded, and it needs neither a network nor scripts."""

import base64
from pathlib import Path
from typing import Any

import cv2
import jinja2
import mmcv

from .figures import MAX_CLASSES
from .tables import class_rows, shown, signed, size_rows

JPEG_QUALITY = 85  # of photographs, whose PNGs are in the folder
MOST_CONFUSED = 10


def render_page(metrics: dict[str, Any], folder: Path) -> str:
    """Return the page of a report.

    Args:
        metrics: Content of ``metrics.json``.
        folder: Folder with the figures and drawn pictures.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(shown=shown, signed=signed)
    return environment.get_template('page.html').render(
        metrics=metrics,
        compared=metrics.get('compared'),
        classes=class_rows(metrics),
        sizes=size_rows(metrics),
        confused=most_confused(metrics),
        max_classes=MAX_CLASSES,
        figure=lambda name: embed_png(folder / name),
        photograph=lambda name: embed_jpeg(folder / name),
    )


def most_confused(metrics: dict[str, Any]) -> list[tuple[str, str, int]]:
    """Return a class of objects, another class that was predicted for them, and how often; most often first."""
    names = [row['name'] for row in metrics['classes']]
    found = [
        (names[row], names[column], count)
        for row, counts in enumerate(metrics['confusion'][:-1])
        for column, count in enumerate(counts[:-1])
        if row != column and count
    ]
    return sorted(found, key=lambda entry: -entry[2])[:MOST_CONFUSED]


def embed_png(path: Path) -> str:
    return _data_url('png', path.read_bytes())


def embed_jpeg(path: Path) -> str:
    """Return a PNG file as a smaller JPEG."""
    encoded = cv2.imencode('.jpg', mmcv.imread(path), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
    return _data_url('jpeg', encoded.tobytes())


def _data_url(kind: str, content: bytes) -> str:
    return f'data:image/{kind};base64,{base64.b64encode(content).decode()}'
