"""The classes of a dataset: other names, a choice of them, and names that may mean the same."""

import re
from collections import defaultdict
from itertools import combinations

from ...errors import InputError
from .clean import objects_of
from .faults import KEPT, Faults
from .source import Source, folded


def rename_classes(source: Source, pairs: list[str], faults: Faults) -> None:
    """Give classes the names of ``OLD=NEW`` pairs; classes of one name become one.

    Raises InputError if there is no such class.
    """
    names = dict(pair.split('=', 1) for pair in pairs)
    unknown = [name for name in names if name not in source.classes]
    if unknown:
        raise InputError(f'--rename: no class is called {", ".join(unknown)}; there are {", ".join(source.classes)}')
    source.classes = list(dict.fromkeys(names.get(name, name) for name in source.classes))
    for samples in source.splits.values():
        for sample in samples:
            for item in sample.objects:
                item.name = names.get(item.name, item.name)
    for old, new in names.items():
        faults.note(f'class is called {new} by --rename', old)


def choose_classes(source: Source, chosen: list[str] | None, faults: Faults) -> None:
    """Keep the objects of some classes, all if ``chosen`` is None, and take the order of the labels from it.

    Raises InputError if there is no such class.
    """
    if chosen is None:
        return
    unknown = [name for name in chosen if name not in source.classes]
    if unknown:
        raise InputError(f'--classes: no class is called {", ".join(unknown)}; there are {", ".join(source.classes)}')
    source.classes = list(dict.fromkeys(chosen))
    kept = set(chosen)
    for samples in source.splits.values():
        for sample in samples:
            others = [item for item in sample.objects if item.name not in kept]
            faults.note('object is of a class that --classes leaves out', *(item.where for item in others))
            sample.objects = [item for item in sample.objects if item.name in kept]


def check_similar_names(source: Source, faults: Faults) -> None:
    """Record names of classes that differ in case, Unicode form or a few letters, with the numbers of objects."""
    by_case, by_rest = defaultdict(list), defaultdict(list)
    for name, places in objects_of(source).items():
        by_case[folded(name)].append(f'{name} ({len(places)} objects)')
    for name, similar in by_case.items():
        if len(similar) > 1:
            what = 'names of classes differ only in case or Unicode form; --rename makes one of them'
            faults.add(what, KEPT, ' / '.join(similar))
        for rest in _without_a_letter(name):
            by_rest[rest].append(name)
    pairs = {pair for names in by_rest.values() for pair in combinations(names, 2)}
    for pair in sorted(pairs):
        one, other = pair
        has_other_number = re.sub(r'\d', '', one) == re.sub(r'\d', '', other)
        has_other_letter = any(len(word) == 1 for word in {*one.split()} ^ {*other.split()})  # a word, as in "hall B"
        if not has_other_number and not has_other_letter:
            what = 'names of classes differ in a letter or two; if they mean the same, --rename makes one of them'
            faults.note(what, ' / '.join(by_case[one] + by_case[other]))


def _without_a_letter(name: str) -> set[str]:
    """Return a name, and what is left of it without one of its letters: of a short one without a final s."""
    if not 5 <= len(name) <= 60:
        return {name, name.removesuffix('s')}
    return {name, *(name[:i] + name[i + 1 :] for i in range(len(name)))}
