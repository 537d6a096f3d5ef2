"""A report as one HTML page."""

from pathlib import Path
from typing import Any

import mmcv

from ...visualization.page import embed_jpeg, embed_png, render
from .figures import MAX_CLASSES
from .tables import class_rows, floored, shown, signed, size_rows

MOST_CONFUSED = 10


def render_page(metrics: dict[str, Any], folder: Path) -> str:
    """Return the page of a report from the content of ``metrics.json`` and the folder with figures and drawn images."""
    return render(
        Path(__file__).with_name('page.html'),
        title=metrics['model'],
        generator=metrics['generator'],
        metrics=metrics,
        compared=metrics.get('compared'),
        classes=class_rows(metrics),
        sizes=size_rows(metrics),
        confused=most_confused(metrics),
        max_classes=MAX_CLASSES,
        shown=shown,
        floored=floored,
        signed=signed,
        figure=lambda name: embed_png(folder / name),
        photograph=lambda name: embed_jpeg(mmcv.imread(folder / name)),  # a smaller file than the PNG
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
