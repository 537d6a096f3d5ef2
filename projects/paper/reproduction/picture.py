"""A picture of a table: accuracy over FLOPs and over parameters."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .comparison import cells
from .render import Results
from .tables import COLUMNS, Table


def draw(table: Table, results: Results, path: str | Path) -> None:
    """Draw the published accuracies as rings, those of finished trainings as filled points, and save the picture.

    The costs are those counted here, or the published ones for a row that was not counted.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.5), layout='constrained')
    panels = figure.subplots(1, 2, sharey=True)
    for panel, cost in zip(panels, ('flops', 'parameters')):
        points = list(_points(table, results, cost))
        for x, published, ours, _, colour in points:
            panel.plot(x, published, 'o', color=colour, fillstyle='none')
            if ours is not None:
                panel.plot(x, ours, 'o', color=colour)
        _label(panel, [(x, y, label) for x, y, _, label, _ in points])
        panel.set_xlabel(COLUMNS[cost].title)
        panel.margins(x=0.2)
        panel.grid(alpha=0.3)
    panels[0].set_ylabel(COLUMNS[table.score].title)
    figure.suptitle(f'{table.title}: rings as published, points measured')
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
    """Write names above their points, from the top, and below where a point nearby has its name above.

    Names are on the right of their points, and on the left in the last third of the panel.
    """
    left, right = min(x for x, *_ in points), max(x for x, *_ in points)
    height = max(y for _, y, _ in points) - min(y for _, y, _ in points)
    above: list[tuple[float, float]] = []
    for x, y, label in sorted(points, key=lambda point: -point[1]):
        crowded = any(abs(x - u) < 0.2 * (right - left) and abs(y - v) < 0.06 * height for u, v in above)
        above += [] if crowded else [(x, y)]
        side, shift = ('right', -5) if x > left + 2 / 3 * (right - left) else ('left', 5)
        panel.annotate(label, (x, y), (shift, -9 if crowded else 3), textcoords='offset points', fontsize=7, ha=side)
