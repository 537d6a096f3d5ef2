"""Tables in Markdown."""

from collections.abc import Iterable, Sequence


def table_lines(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table, the first two of which are its head."""
    return [f'| {" | ".join(cells)} |' for cells in (heads, ['---'] * len(heads), *rows)]
