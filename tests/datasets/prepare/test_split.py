"""Division into training and validation sets."""

import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from mmspartan.datasets.prepare.source import Object, Sample
from mmspartan.datasets.prepare.split import stratified_split


def images_of(*names: str, path: str = '{}.jpg') -> list[Sample]:
    """An image for each text, whose letters are the classes of its objects."""
    return [
        Sample(Path('folder', path.format(i)), [Object(name, (0, 0, 1, 1)) for name in text])
        for i, text in enumerate(names)
    ]


def split(samples: list[Sample], share: float = 0.2, seed: int = 0, digests: dict | None = None):
    unique = {sample.path: str(sample.path) for sample in samples}
    return stratified_split(samples, share, seed, {**unique, **(digests or {})})


def counts(samples: list[Sample]) -> Counter:
    return Counter(item.name for sample in samples for item in sample.objects)


def test_every_class_gets_its_share():
    samples = images_of(*['aab'] * 40, *['c'] * 10, *['bc'] * 5, *[''] * 20)
    train, val = split(samples)
    assert abs(len(val) - 15) <= 2 and len(train) + len(val) == 75
    total, found = counts(samples), counts(val)
    for name, in_one in {'a': 2, 'b': 1, 'c': 1}.items():  # to an image
        assert abs(found[name] - 0.2 * total[name]) <= in_one
    assert sum(not sample.objects for sample in val) == 4


def test_a_class_of_two_images_is_in_both():
    train, val = split(images_of(*['a'] * 30, 'ab', 'ab'), share=0.5)
    assert counts(train)['b'] == counts(val)['b'] == 1


def test_a_class_of_one_image_is_trained():
    train, val = split(images_of(*['a'] * 9, 'ab'))
    assert counts(train)['b'] == 1 and counts(val) == {'a': 2}


def test_the_seed_decides_and_the_order_is_kept():
    samples = images_of(*['a'] * 30)
    train, val = split(samples)
    assert split(samples) == (train, val) and split(samples, seed=1) != (train, val)
    assert sorted(train + val, key=samples.index) == samples and train == sorted(train, key=samples.index)
    reordered = split(samples[::-1])
    assert {sample.path for sample in reordered[1]} == {sample.path for sample in val}


def test_versions_and_copies_of_an_image_stay_together():
    versions = [
        Sample(Path('folder', f'{name}_jpg.rf.{i}.jpg'), [Object('a', (0, 0, 1, 1))]) for name in 'pqrst' for i in 'xyz'
    ]
    copies = images_of('a', 'a')
    digests = {sample.path: 'same' for sample in copies}
    for seed in range(5):
        train, val = split(versions + copies, 0.4, seed, digests)
        stems = [
            {sample.path.stem.partition('_jpg')[0] if '_jpg' in sample.path.stem else 'copy' for sample in part}
            for part in (train, val)
        ]
        assert not stems[0] & stems[1] and all(stems)


def test_whole_folders_are_divided():
    samples = [
        Sample(Path(folder, f'{i}.jpg'), [Object('ab'[i % 2], (0, 0, 1, 1))]) for folder in 'xyz' for i in range(9)
    ]
    for seed in range(5):
        digests = {sample.path: str(sample.path) for sample in samples}
        train, val = stratified_split(samples, 0.2, seed, digests, whole_folders=True)
        folders = [{sample.path.parent for sample in part} for part in (train, val)]
        assert not folders[0] & folders[1] and [len(part) for part in (train, val)] == [18, 9]


def test_the_share_is_kept_in_a_long_tail_and_the_time_is_linear():
    rng, names = np.random.default_rng(0), [f'class {i}' for i in range(1203)]
    weights = 1 / np.arange(1, 1204) ** 1.3
    chosen = rng.choice(1203, (5000, 8), p=weights / weights.sum())
    samples = [
        Sample(Path('folder', f'{i}.jpg'), [Object(names[k], (0, 0, 1, 1)) for k in row])
        for i, row in enumerate(chosen)
    ]
    start = time.process_time()
    train, val = split(samples)
    assert time.process_time() - start < 10  # 0.5 s; a loop over images and classes takes minutes
    assert len(val) == pytest.approx(1000, abs=20)
    total, found = counts(samples), counts(val)
    tail = [name for name in total if 6 <= total[name] <= 20]
    assert sum(found[name] for name in tail) == pytest.approx(0.2 * sum(total[name] for name in tail), rel=0.1)


@pytest.mark.parametrize('share', [0.1, 0.5, 0.9])
def test_both_sets_have_objects_if_two_images_have_some(share):
    for names in (['a', 'a'], ['a', 'b', ''], ['a', 'a', 'b']):
        train, val = split(images_of(*names), share)
        assert counts(train) and counts(val)
    assert not counts(split(images_of('ab', 'a', 'a'), share)[1])['b'] or share == 0.9
