"""Results of the networks in miniature as Markdown: accuracies, their spread, and which of the paper's orders show."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from statistics import mean, stdev

from mmspartan.markdown import table_lines

from .miniature import scores
from .order import Difference, differences
from .render import ROMAN
from .tables import COLUMNS, Row, Table

Differences = Mapping[tuple[str, str], Difference]

ORDERS = ('as in the paper', 'reversed', 'not resolved')


def markdown(table: Table, work_dirs: str | Path, seeds: int) -> str:
    """Return a table: mean and standard deviation of the accuracies, and their difference from the paper's best row.

    A difference is given with half of its 95 % confidence interval. Below the table stands how many pairs of its rows
    have the paper's order, which ones are resolved, with the better row first, and the rows with a training that is not
    finished.

    Args:
        table: One of :func:`~projects.paper.reproduction.miniature.tables`.
        work_dirs: Folder of trainings.
        seeds: Trainings of each network, at least 2.
    """
    finished = {row.name: scores(table, row, work_dirs, seeds) for row in table.rows}
    values = {name: score for name, score in finished.items() if score}
    rows = [row for row in table.rows if row.name in values]
    title = COLUMNS[table.score].title
    lines = [f'## Table {ROMAN[table.number]}: {table.title}', '']
    lines += [table.note, ''] if table.note and table.score == 'top1' else []  # that of Table III is on costs
    if len(rows) > 1:
        best = max(rows, key=lambda row: float(row.published[table.score]))
        found = differences(values)
        heads = ['model', 'config', title, 'paper', f'difference from {best.name}', 'paper', 'order']
        body = [_line(table, row, best, values[row.name], found) for row in rows]
        lines += table_lines(heads, body)
        lines += ['', *_summary(table, rows, found)]
    missing = [row.name for row in table.rows if row not in rows]
    lines += ['', f'Not trained with {seeds} seeds: {"; ".join(missing)}.'] if missing else []
    return '\n'.join(lines) + '\n'


def _line(table: Table, row: Row, best: Row, score: Sequence[float], found: Differences) -> list[str]:
    published = row.published[table.score]
    cells = [row.name, f'`{row.config}`', f'{mean(score):.2f} ± {stdev(score):.2f}', published]
    if row is best:
        return [*cells, '', '', '']
    theirs = float(published) - float(best.published[table.score])
    difference = found[row.name, best.name]
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


def _summary(table: Table, rows: Sequence[Row], found: Differences) -> list[str]:
    pairs: dict[str, list[str]] = {name: [] for name in ORDERS}
    for one, other in combinations(rows, 2):
        difference = found[one.name, other.name]
        published = float(one.published[table.score]) - float(other.published[table.score])
        better, worse = (one, other) if difference.mean > 0 else (other, one)
        pairs[order(difference, published)].append(f'{better.name} > {worse.name}')
    lines = ['Pairs of rows: ' + ', '.join(f'{len(names)} {name}' for name, names in pairs.items()) + '.']
    resolved = {name: pairs[name] for name in ORDERS[:2] if pairs[name]}
    return lines + ([''] if resolved else []) + [f'- {name}: {"; ".join(pairs)}.' for name, pairs in resolved.items()]
