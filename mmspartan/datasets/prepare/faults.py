"""Faults of a dataset, with what was done about each."""

from collections import defaultdict
from collections.abc import Iterable

# What is done about a fault. Only KEPT changes nothing.
KEPT, CLIPPED, DROPPED, RENAMED, ROTATED = 'kept', 'clipped', 'dropped', 'renamed', 'rotated'


class Faults:
    """Places in a dataset, by fault and by what was done."""

    def __init__(self) -> None:
        self.places: dict[tuple[str, str], list[str]] = defaultdict(list)

    def add(self, what: str, done: str, *places: str) -> None:
        """Record a fault.

        Args:
            what: The fault, the same text for the same kind.
            done: One of KEPT, CLIPPED, DROPPED, RENAMED, ROTATED.
            places: Files, or places in a file; without one nothing is recorded.
        """
        if places:
            self.places[what, done] += places

    def changed(self) -> bool:
        """Whether a fault was met by another measure than keeping what is there."""
        return any(done != KEPT for _, done in self.places)

    def summary(self) -> str:
        """Return the two most frequent faults as the end of a message; '' without faults."""
        rows = [(what, count, places) for what, _, count, places in self.rows()][:2]
        return ''.join(f'; {what} (times: {count}, first: {places[0]})' for what, count, places in rows)

    def rows(self) -> Iterable[tuple[str, str, int, list[str]]]:
        """Iterate over ``(fault, what was done, how often, first places)``, the most frequent first."""
        ordered = sorted(self.places.items(), key=lambda item: -len(item[1]))
        return ((what, done, len(places), places[:3]) for (what, done), places in ordered)
