"""A picture of a table: accuracy over FLOPs and over parameters."""

from pathlib import Path

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
        for row, values in zip(table.rows, results):
            by_column = {cell.column: cell for cell in cells(table, row, values)}
            x = by_column[cost].ours
            x = float(row.published[cost]) if x is None and cost in row.published else x
            score = by_column[table.score]
            if x is None or score.published is None:
                continue
            colour = 'tab:red' if 'SpaRTAN' in row.name or table.number > 3 else 'tab:blue'
            panel.plot(x, float(score.published), 'o', color=colour, fillstyle='none')
            if score.ours is not None:
                panel.plot(x, score.ours, 'o', color=colour)
            label = row.name.replace(', 256 pixels', ' 256')
            panel.annotate(label, (x, float(score.published)), (5, 3), textcoords='offset points', fontsize=7)
        panel.set_xlabel(COLUMNS[cost].title)
        panel.margins(x=0.2)
        panel.grid(alpha=0.3)
    panels[0].set_ylabel(COLUMNS[table.score].title)
    figure.suptitle(f'{table.title}: rings as published, points measured')
    figure.savefig(path, dpi=110)
