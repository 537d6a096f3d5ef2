"""Tables of results as Markdown and CSV."""

import csv
import io
from collections.abc import Mapping, Sequence

from mmspartan.markdown import table_lines

from .comparison import Cell, Value, cells
from .tables import COLUMNS, Table

Results = Sequence[Mapping[str, Value]]  # figures of this package by column, for each row of a table

UNKNOWN = 'the cause is unknown'
ROMAN = {2: 'II', 3: 'III', 4: 'IV', 5: 'V', 6: 'VI', 7: 'VII', 8: 'VIII'}


def ours(cell: Cell) -> str:
    if cell.ours is None:
        return ''
    figure = f'{cell.ours:.{COLUMNS[cell.column].digits}f}'
    return figure if cell.spread is None else f'{figure} ± {cell.spread:.1f}'


def printed(cell: Cell) -> str:
    return cell.published or ''


def difference(cell: Cell) -> str:
    if cell.difference is None:
        return ''
    text = f'{round(cell.difference, 1) + 0.0:+.1f}'  # no -0.0
    return text if COLUMNS[cell.column].metric else f'{text} %'


def markdown(table: Table, results: Results) -> str:
    """Return a table with three columns for each of the paper's: figure here, in the paper, difference.

    A column that has figures on one side alone takes one, or two. Below the table stands the reason of each difference
    of more than 2 %.
    """
    rows = [cells(table, row, values) for row, values in zip(table.rows, results)]
    heads, bodies = ['model', 'config'], [[row.name, f'`{row.config}`'] for row in table.rows]
    for i, column in enumerate(table.columns):
        title = COLUMNS[column].title
        kinds = [(title, ours), ('paper', printed), ('difference', difference)]
        if not any(row[i].ours is not None for row in rows):
            kinds = [(f'{title}, paper', printed)]
        for head, text in kinds:
            texts = [text(row[i]) for row in rows]
            if any(texts):
                heads.append(head)
                for body, value in zip(bodies, texts):
                    body.append(value)
    lines = [f'## Table {ROMAN[table.number]}: {table.title}', '']
    lines += [table.note, ''] if table.note else []
    lines += table_lines(heads, bodies)
    reasons = list(dict.fromkeys(_reasons(table, rows)))
    return '\n'.join(lines + (['', *reasons] if reasons else [])) + '\n'


def _reasons(table: Table, rows: Sequence[Sequence[Cell]]) -> list[str]:
    found: dict[tuple[str, str], list[str]] = {}
    for row, figures in zip(table.rows, rows):
        for cell in figures:
            if cell.needs_reason:
                found.setdefault((COLUMNS[cell.column].title, row.why.get(cell.column, UNKNOWN)), []).append(row.name)
    return [f'- {title} of {"; ".join(names)}: {why}.' for (title, why), names in found.items()]


def as_csv(table: Table, results: Results) -> str:
    """Return one line for each figure: row, config, column, here, spread, paper, difference, reason."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator='\n')
    writer.writerow(['table', 'model', 'config', 'column', 'ours', 'spread', 'paper', 'difference', 'reason'])
    for row, values in zip(table.rows, results):
        for cell in cells(table, row, values):
            reason = row.why.get(cell.column, UNKNOWN) if cell.needs_reason else ''
            figures = [cell.ours, cell.spread, cell.published, cell.difference]
            numbers = [f'{figure:.6g}' if isinstance(figure, float) else figure for figure in figures]
            writer.writerow([table.number, row.name, row.config, COLUMNS[cell.column].title, *numbers, reason])
    return text.getvalue()
