"""Results of the networks in miniature as Markdown: accuracies, their spread, and which of the paper's orders show."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from statistics import mean, stdev

from .miniature import scores
from .order import Difference, differences
from .render import ROMAN
from .tables import COLUMNS, Row, Table

Scores = Mapping[str, Sequence[float]]


def markdown(table: Table, work_dirs: str | Path, seeds: int) -> str:
    """Return a table: mean and standard deviation of the accuracies, and their difference from the paper's best row.

    A difference is given with half of its 95 % confidence interval. Below the table stands how many pairs of its rows
    have the paper's order, and the rows with a training that is not finished.
    """
    found = {row.name: scores(table, row, work_dirs, seeds) for row in table.rows}
    values = {name: score for name, score in found.items() if score}
    rows = [row for row in table.rows if row.name in values]
    title = COLUMNS[table.score].title
    lines = [f'## Table {ROMAN[table.number]}: {table.title}', '']
    lines += [table.note, ''] if table.note and table.score == 'top1' else []  # that of Table III is on costs
    if len(rows) > 1:
        best = max(rows, key=lambda row: float(row.published[table.score]))
        heads = ['model', 'config', title, 'paper', f'difference from {best.name}', 'paper', 'order']
        body = [_line(table, row, best, values) for row in rows]
        lines += [f'| {" | ".join(line)} |' for line in (heads, ['---'] * len(heads), *body)]
        lines += ['', _summary(table, rows, values)]
    missing = [row.name for row in table.rows if row not in rows]
    lines += ['', f'Not trained with {seeds} seeds: {"; ".join(missing)}.'] if missing else []
    return '\n'.join(lines) + '\n'


def _line(table: Table, row: Row, best: Row, values: Scores) -> list[str]:
    score, published = values[row.name], row.published[table.score]
    cells = [row.name, f'`{row.config}`', f'{mean(score):.2f} ± {stdev(score):.2f}', published]
    if row is best:
        return [*cells, '', '', '']
    theirs = float(published) - float(best.published[table.score])
    difference = differences(values)[row.name, best.name]
    digits = len(published.partition('.')[2])
    return [
        *cells,
        f'{difference.mean:+.2f} ± {difference.margin:.2f}',
        f'{theirs:+.{digits}f}',
        order(difference, theirs),
    ]


def order(difference: Difference, published: float) -> str:
    """Say whether a difference has the sign of the published one, if it can be told from chance."""
    if not difference.is_resolved:
        return 'not resolved'
    return 'as in the paper' if difference.mean * published > 0 else 'reversed'


def _summary(table: Table, rows: Sequence[Row], values: Scores) -> str:
    counts = dict.fromkeys(('as in the paper', 'reversed', 'not resolved'), 0)
    for one, other in combinations(rows, 2):
        published = float(one.published[table.score]) - float(other.published[table.score])
        counts[order(differences(values)[one.name, other.name], published)] += 1
    return 'Pairs of rows: ' + ', '.join(f'{count} {name}' for name, count in counts.items()) + '.'
