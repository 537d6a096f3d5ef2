"""Classes that may be one."""

import pytest

from mmspartan.datasets.prepare.classes import check_similar_names
from mmspartan.datasets.prepare.faults import Faults
from mmspartan.datasets.prepare.source import Object, Sample, Source


@pytest.mark.parametrize(
    ('names', 'are_similar'),
    [
        (('raccoon', 'racoon'), True),
        (('raccoon', 'Racoons'), True),
        (('raccoon', 'balloon'), False),
        (('kangaroo', 'kangeroo'), True),
        (('cat', 'cats'), True),
        (('cat', 'car'), False),
        (('station 1', 'station 2'), False),
        (('hall A', 'hall B'), False),
        (('x' * 5000, 'x' * 4999), False),
    ],
)
def test_names_that_differ_in_few_letters_are_noted(names, are_similar, tmp_path):
    objects = [Object(name, (0, 0, 9, 9), name) for name in names]
    source, faults = Source('COCO', list(names)), Faults()
    source.splits['train'] = [Sample(tmp_path / 'a.jpg', objects, where='a')]
    check_similar_names(source, faults)
    assert not faults.places
    assert [place for places in faults.notes.values() for place in places] == (
        [' / '.join(f'{name} (1 objects)' for name in names)] if are_similar else []
    )
