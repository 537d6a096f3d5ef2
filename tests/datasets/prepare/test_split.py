"""Division into training and validation sets."""

from collections import Counter
from pathlib import Path

from mmspartan.datasets.prepare.source import Object, Picture
from mmspartan.datasets.prepare.split import stratified_split


def pictures_of(*names: str, path: str = '{}.jpg') -> list[Picture]:
    """A picture for each text, whose letters are the classes of its objects."""
    return [
        Picture(Path('folder', path.format(i)), [Object(name, (0, 0, 1, 1)) for name in text])
        for i, text in enumerate(names)
    ]


def split(pictures: list[Picture], share: float = 0.2, seed: int = 0, digests: dict | None = None):
    unique = {picture.path: str(picture.path) for picture in pictures}
    return stratified_split(pictures, share, seed, {**unique, **(digests or {})})


def counts(pictures: list[Picture]) -> Counter:
    return Counter(item.name for picture in pictures for item in picture.objects)


def test_every_class_gets_its_share():
    pictures = pictures_of(*['aab'] * 40, *['c'] * 10, *['bc'] * 5, *[''] * 20)
    train, val = split(pictures)
    assert abs(len(val) - 15) <= 2 and len(train) + len(val) == 75
    total, found = counts(pictures), counts(val)
    for name, in_one in {'a': 2, 'b': 1, 'c': 1}.items():  # to a picture
        assert abs(found[name] - 0.2 * total[name]) <= in_one
    assert sum(not picture.objects for picture in val) == 4


def test_a_class_of_two_pictures_is_in_both():
    train, val = split(pictures_of(*['a'] * 30, 'ab', 'ab'), share=0.5)
    assert counts(train)['b'] == counts(val)['b'] == 1


def test_a_class_of_one_picture_is_trained():
    train, val = split(pictures_of(*['a'] * 9, 'ab'))
    assert counts(train)['b'] == 1 and counts(val) == {'a': 2}


def test_the_seed_decides_and_the_order_is_kept():
    pictures = pictures_of(*['a'] * 30)
    train, val = split(pictures)
    assert split(pictures) == (train, val) and split(pictures, seed=1) != (train, val)
    assert sorted(train + val, key=pictures.index) == pictures and train == sorted(train, key=pictures.index)
    reordered = split(pictures[::-1])
    assert {picture.path for picture in reordered[1]} == {picture.path for picture in val}


def test_versions_and_copies_of_a_picture_stay_together():
    versions = [
        Picture(Path('folder', f'{name}_jpg.rf.{i}.jpg'), [Object('a', (0, 0, 1, 1))])
        for name in 'pqrst'
        for i in 'xyz'
    ]
    copies = pictures_of('a', 'a')
    digests = {picture.path: 'same' for picture in copies}
    for seed in range(5):
        train, val = split(versions + copies, 0.4, seed, digests)
        stems = [
            {picture.path.stem.partition('_jpg')[0] if '_jpg' in picture.path.stem else 'copy' for picture in part}
            for part in (train, val)
        ]
        assert not stems[0] & stems[1] and all(stems)
