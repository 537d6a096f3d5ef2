"""The numbers of a report as tables: rows for the page, a CSV file, and text for the terminal."""

import csv
import math
from pathlib import Path
from typing import Any

from terminaltables import AsciiTable

from mmspartan_cli import inert, printable

TERMINAL = ('name', 'AP', 'AP50', 'AP75', 'AR', 'objects', 'pictures', 'threshold', 'precision', 'recall')
COMPARED = ('AP_compared', 'AP_difference')


def class_rows(metrics: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a row for each class and one for all, with the AP of a compared model and the difference to it."""
    return _compared([*metrics['classes'], dict(name='all', **metrics['total'])], metrics, _classes_of)


def size_rows(metrics: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a row for each size of objects; see :func:`class_rows`."""
    return _compared(_sizes_of(metrics), metrics, _sizes_of)


def _classes_of(metrics: dict[str, Any]) -> list[dict[str, Any]]:
    return [*metrics['classes'], metrics['total']]


def _sizes_of(metrics: dict[str, Any]) -> list[dict[str, Any]]:
    return [dict(name=name, **values) for name, values in metrics['sizes'].items()]


def _compared(rows: list[dict], metrics: dict[str, Any], rows_of: Any) -> list[dict[str, Any]]:
    if 'compared' not in metrics:
        return rows
    others = [other['AP'] for other in rows_of(metrics['compared'])]
    return [
        {**row, 'AP_compared': ap, 'AP_difference': None if None in (row['AP'], ap) else row['AP'] - ap}
        for row, ap in zip(rows, others)
    ]


def shown(value: Any) -> str:
    """Return a number with three decimals, a whole number as it is, and a dash for None."""
    if value is None:
        return '–'  # noqa: RUF001
    return f'{value:.3f}' if isinstance(value, float) else str(value)


def floored(value: float | None) -> str:
    """Return a threshold with three digits, at which all is kept that the value itself keeps."""
    return shown(value if value is None else math.floor(1000 * value) / 1000)


def signed(value: float | None) -> str:
    return shown(value) if value is None else f'{round(value, 3) + 0.0:+.3f}'  # not -0.000


def write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write the rows; a number that is not defined is an empty field."""
    with open(path, 'w', newline='', encoding='utf-8') as file:
        writer = csv.DictWriter(file, list(rows[-1]), restval='', extrasaction='ignore')
        writer.writeheader()
        writer.writerows({key: inert(value) for key, value in row.items()} for row in rows)


def terminal_table(metrics: dict[str, Any]) -> str:
    """Return the tables of classes and sizes as text."""
    keys = [*TERMINAL, *(COMPARED if 'compared' in metrics else ())]
    sizes = ['name', 'AP', 'AR', 'objects', *(COMPARED if 'compared' in metrics else ())]
    return f'{_text(keys, class_rows(metrics))}\n\n{_text(sizes, size_rows(metrics))}'


def _text(keys: list[str], rows: list[dict[str, Any]]) -> str:
    formats = {'AP_difference': signed, 'threshold': floored}
    lines = [[printable(' '.join(formats.get(key, shown)(row[key]).split())) for key in keys] for row in rows]
    heads = [key.replace('AP_', '').replace('pictures', 'images') for key in keys]
    table = AsciiTable([heads, *lines])
    table.justify_columns = dict.fromkeys(range(1, len(keys)), 'right')
    return table.table
