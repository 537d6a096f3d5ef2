"""A plot of a table: accuracy over FLOPs and over parameters."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from .comparison import cells
from .render import Results
from .tables import COLUMNS, Table

RING = 5.0  # half of the side of a point in pixels
# Places of names: shift in points, and what of the text is there.
PLACES = (
    *(((5, 3), 'left', 'bottom'), ((7, 0), 'left', 'center'), ((5, -3), 'left', 'top'), ((-5, 3), 'right', 'bottom')),
    *(((-7, 0), 'right', 'center'), ((-5, -3), 'right', 'top'), ((0, 6), 'center', 'bottom')),
    ((0, -6), 'center', 'top'),
)


def draw(table: Table, results: Results, path: str | Path) -> None:
    """Draw the published accuracies as rings, those of finished trainings as filled points, and save the plot.

    The costs are those counted here, or the published ones for a row that was not counted.
    """
    figure = Figure(figsize=(11, 4.5), layout='constrained')
    panels = figure.subplots(1, 2, sharey=True)
    points = {}
    for panel, cost in zip(panels, ('flops', 'parameters')):
        points[panel] = list(_points(table, results, cost))
        for x, published, ours, _, colour in points[panel]:
            panel.plot(x, published, 'o', color=colour, fillstyle='none')
            if ours is not None:
                panel.plot(x, ours, 'o', color=colour)
        panel.set_xlabel(COLUMNS[cost].title)
        panel.margins(x=0.2)
        panel.grid(alpha=0.3)
    panels[0].set_ylabel(COLUMNS[table.score].title)
    is_measured = any(ours is not None for rows in points.values() for _, _, ours, _, _ in rows)
    figure.suptitle(f'{table.title}: rings as published' + (', points measured' if is_measured else ''))
    figure.draw_without_rendering()  # places the panels
    figure.set_layout_engine('none')
    for panel, rows in points.items():
        _label(panel, [(x, y, label) for x, y, _, label, _ in rows])
    figure.savefig(path, dpi=110)


def _points(table: Table, results: Results, cost: str) -> Iterator[tuple[float, float, float | None, str, str]]:
    """Iterate over cost, published accuracy, accuracy here, name and colour of the rows that have the first two."""
    for row, values in zip(table.rows, results):
        by_column = {cell.column: cell for cell in cells(table, row, values)}
        costs, score = by_column[cost], by_column[table.score]
        x = costs.ours if costs.ours is not None else costs.published
        if x is not None and score.published is not None:
            is_ours = 'SpaRTAN' in row.name or table.number > 3
            colour = 'tab:red' if is_ours else 'tab:blue'
            yield float(x), float(score.published), score.ours, row.name.replace(', 256 pixels', ' 256'), colour


def _label(panel: Any, points: list[tuple[float, float, str]]) -> None:
    """Write names beside their points, where they cover neither points nor names if there is such a place."""
    pixels = panel.transData.transform([point[:2] for point in points])
    taken = [Bbox([pixel - RING, pixel + RING]) for pixel in pixels]
    for x, y, label in points:
        for shift, horizontal, vertical in PLACES:
            text = panel.annotate(
                label, (x, y), shift, textcoords='offset points', fontsize=7, ha=horizontal, va=vertical
            )
            box = text.get_window_extent()
            is_inside = panel.bbox.x0 < box.x0 and box.x1 < panel.bbox.x1
            if is_inside and not any(map(box.overlaps, taken)):
                break
            text.remove()
        else:
            panel.add_artist(text)
        taken.append(box)
