"""The classes of a dataset: other names, a choice of them, and names that may mean the same."""

from collections import defaultdict

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
    """Record names of classes that differ only in case, Unicode form or a final s, with the numbers of objects."""
    by_case, by_stem = defaultdict(list), defaultdict(list)
    for name, places in objects_of(source).items():
        text = f'{name} ({len(places)} objects)'
        by_case[folded(name)].append(text)
        by_stem[folded(name).removesuffix('s')].append(text)
    what, advice = 'names of classes differ only in', '--rename makes one of them'
    for similar in by_case.values():
        if len(similar) > 1:
            faults.add(f'{what} case or Unicode form; {advice}', KEPT, ' / '.join(similar))
    for similar in by_stem.values():
        if len(similar) > 1 and similar not in by_case.values():
            faults.note(f'{what} a final s; {advice}', ' / '.join(similar))
