"""Reports as HTML pages: images are embedded, and a page needs neither a network nor scripts."""

import base64
from pathlib import Path
from typing import Any

import cv2
import jinja2
import numpy as np

JPEG_QUALITY = 85


def render(template: Path, **values: Any) -> str:
    """Return a page made of a Jinja2 template, which extends ``layout.html`` of this folder; all values are escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([template.parent, Path(__file__).parent]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template(template.name).render(**values)


def embed_png(path: Path) -> str:
    """Return a PNG file as a URL."""
    return _data_url('png', path.read_bytes())


def embed_jpeg(image: np.ndarray, longest: int | None = None) -> str:
    """Return a BGR image, uint8 ``(H, W, 3)``, as the URL of a JPEG with at most ``longest`` pixels a side."""
    scale = min(1.0, (longest or np.inf) / max(image.shape[:2]))
    if scale < 1:
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return _data_url('jpeg', cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes())


def _data_url(kind: str, content: bytes) -> str:
    return f'data:image/{kind};base64,{base64.b64encode(content).decode()}'
