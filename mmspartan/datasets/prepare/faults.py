"""Faults of a dataset with what was done about each, conventions that were guessed, and notes."""

import csv
import io
from collections import defaultdict
from collections.abc import Iterable

from mmspartan_cli import inert, printable

# What is done about a fault.
KEPT, CLIPPED, DROPPED, RENAMED, ROTATED = 'kept', 'clipped', 'dropped', 'renamed', 'rotated'
LONGEST = 140  # characters of a place in a report


class Faults:
    """Places in a dataset, by fault and by what was done; by guess and the option for another choice; by note.

    ``--strict`` refuses faults and guesses. Notes are what a sound dataset may have, or what the user asked for.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.places: dict[tuple[str, str], list[str]] = defaultdict(list)
        self.guesses: dict[tuple[str, str], list[str]] = defaultdict(list)
        self.notes: dict[tuple[str, str], list[str]] = defaultdict(list)

    def add(self, what: str, done: str, *places: str) -> None:
        """Record a fault, in the same words for the same kind, at places; without a place nothing is recorded.

        ``done`` is one of KEPT, CLIPPED, DROPPED, RENAMED, ROTATED.
        """
        if places:
            self.places[what, done] += places

    def guess(self, what: str, option: str, *places: str) -> None:
        """Record a convention that the files do not tell, and the option of the command that chooses another."""
        if places:
            self.guesses[what, option] += places

    def note(self, what: str, *places: str) -> None:
        if places:
            self.notes[what, ''] += places

    def merge(self, other: 'Faults') -> None:
        """Add all places of another dataset."""
        for mine, theirs in zip((self.places, self.guesses, self.notes), (other.places, other.guesses, other.notes)):
            for key, places in theirs.items():
                if places:
                    mine[key] += places

    def refused(self) -> bool:
        """Whether ``--strict`` refuses the dataset."""
        return bool(self.places or self.guesses)

    def summary(self) -> str:
        """Return the two most frequent faults as the end of a message; '' without faults."""
        rows = [(what, count, places) for what, _, count, places in self.rows()][:2]
        return ''.join(f'; {what} (times: {count}, first: {places[0]})' for what, count, places in rows)

    def csv(self) -> str:
        """Return all places of faults, guesses and notes as the content of a file."""
        file = io.StringIO()
        writer = csv.writer(file)
        writer.writerow(['kind', 'what', 'done or option', 'place'])
        for kind, found in dict(faults=self.places, guesses=self.guesses, notes=self.notes).items():
            rows = [(kind, what, done, place) for (what, done), places in found.items() for place in places]
            writer.writerows([inert(printable(cell)) for cell in row] for row in rows)
        return file.getvalue()

    def rows(self, kind: str = 'places') -> Iterable[tuple[str, str, int, list[str]]]:
        """Iterate over ``(fault, what was done, how often, first places)``, the most frequent first.

        Of ``'guesses'``, the second is the option instead; of ``'notes'`` it is empty.
        """
        ordered = sorted(getattr(self, kind).items(), key=lambda item: -len(item[1]))
        for (what, done), places in ordered:
            yield what, done, len(places), [shortened(place) for place in places[:3]]


def shortened(text: str) -> str:
    return text if len(text) <= LONGEST else f'{text[: LONGEST // 2]}...{text[-LONGEST // 2 :]}'
