"""A row's figures beside the paper's: the cells of a table of results."""

from collections.abc import Mapping
from dataclasses import dataclass

from .tables import COLUMNS, Row, Table

TOLERANCE = 2.0  # percent, above which a difference of counts needs a reason

Value = float | tuple[float, float]  # a figure in base units, or mean and standard deviation


@dataclass(frozen=True)
class Cell:
    """A figure of this package, where there is one, and the paper's, where there is one.

    Args:
        column: Key of ``COLUMNS``.
        ours: In the unit of the column.
        spread: Standard deviation of ``ours``, if it was measured several times.
        published: As printed in the paper.
    """

    column: str
    ours: float | None = None
    spread: float | None = None
    published: str | None = None

    @property
    def difference(self) -> float | None:
        """From the paper's figure: in percent of it for counts, in points for accuracies, None for other machines."""
        if self.ours is None or self.published is None or self.column == 'throughput':
            return None
        theirs = float(self.published)
        return self.ours - theirs if COLUMNS[self.column].metric else 100 * (self.ours / theirs - 1)

    @property
    def needs_reason(self) -> bool:
        """Whether a count differs by more than the tolerance, and does not round to what is printed in the paper."""
        if self.difference is None or self.published is None or COLUMNS[self.column].metric:
            return False
        digits = len(self.published.partition('.')[2])
        rounds = abs(self.ours - float(self.published)) <= 0.5 * 10**-digits  # type: ignore[operator]
        return abs(self.difference) > TOLERANCE and not rounds


def cells(table: Table, row: Row, values: Mapping[str, Value]) -> list[Cell]:
    """Return the cells of a row.

    Args:
        values: Figures of this package by column: counts and images a second in base units, metrics as in the log.
    """
    found = []
    for column in table.columns:
        value = values.get(column)
        mean, spread = value if isinstance(value, tuple) else (value, None)
        scale = COLUMNS[column].scale
        ours = None if mean is None else mean / scale
        found.append(Cell(column, ours, spread, row.published.get(column)))
    return found
