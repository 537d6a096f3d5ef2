"""Entries and files that are absurd: one of them is a fault of its own, and nothing crashes or hangs."""

import json
import os

import numpy as np
import pytest
from pycocotools import mask

from mmspartan.datasets.prepare.coco import MaskError, mask_box
from mmspartan.errors import InputError
from tests.datasets.prepare.conftest import BOX, GOOD, LINE, coco, draw, found, places, voc, write

RUNS = [10 * 80 + 20, *[40, 40] * 19, 40, 69 * 80 + 20 + 80]  # of BOX in an image of 100 x 80


def masked(counts: object, size: object = (80, 100)) -> dict:
    return dict(bbox=None, segmentation=dict(size=size, counts=counts))


@pytest.mark.parametrize(
    'wrong',
    [
        'text',
        masked([0, 10], size=[0, 10]),
        masked([5, 5], size=[5, 2]),  # a mask of another image
        masked([8000, 10]),
        masked([10**30]),
        masked([-5, 8005]),
        masked('0' * 20),
        masked('\\xff'),
        masked('o' * 50),
        masked([8000]),
        masked(RUNS, size='ab'),
        dict(bbox=[10**400, 1, 2, 3]),
        dict(bbox=[1, 1, -(10**400), 3]),
        dict(bbox=[1e308, 1, 1e308, 3]),
        dict(bbox=['1', '2', '3', '4']),
        dict(bbox=None, segmentation=[['1', '2', '3', '4', '5', '6']]),
        dict(bbox=None, segmentation=[[[1, 2], [3, 4], [5, 6]]]),
        dict(bbox=None, segmentation=[[1, 2, 3]]),
        dict(bbox=None, segmentation=[1, 2, 3]),
        dict(bbox=None, segmentation=[]),
        dict(iscrowd='0'),
        dict(iscrowd=[1]),
        dict(category_id=10**400),
    ],
    ids=lambda wrong: repr(wrong)[:40],
)
def test_one_bad_annotation_is_a_fault(wrong, tmp_path, read):
    draw(tmp_path / 'a.jpg')
    entry = {**GOOD, **wrong} if isinstance(wrong, dict) else wrong
    coco(tmp_path / 'a.json', [('a.jpg', 100, 80)], [GOOD], ['a'])
    content = json.loads((tmp_path / 'a.json').read_text())
    content['annotations'].append(entry)
    (tmp_path / 'a.json').write_text(json.dumps(content))
    source, faults = read()
    assert found(source, tmp_path) == {'': {'a.jpg': [('a', BOX)]}}
    assert places(faults) == [f'{tmp_path}/a.json: annotations[1]']


def test_an_integer_of_more_digits_than_python_reads(tmp_path, read):
    draw(tmp_path / 'a.jpg')
    coco(tmp_path / 'a.json', [('a.jpg', 100, 80)], [GOOD, {**GOOD, 'bbox': [1, 2, 3, 77]}], ['a'])
    (tmp_path / 'a.json').write_text((tmp_path / 'a.json').read_text().replace('77', '7' * 5000))
    source, faults = read()
    assert found(source, tmp_path) == {'': {'a.jpg': [('a', BOX)]}}
    assert places(faults) == [f'{tmp_path}/a.json: annotations[1]']


def test_masks_have_the_boxes_of_pycocotools(tmp_path, read):
    rng = np.random.default_rng(0)
    for _ in range(50):
        height, width = rng.integers(1, 12, 2)
        pixels = np.asfortranarray(rng.random((height, width)) < rng.choice([0.02, 0.3, 1]), dtype=np.uint8)
        encoded = mask.encode(pixels)
        if not pixels.any():
            with pytest.raises(MaskError):
                mask_box(encoded['counts'].decode(), height, width)
            continue
        x, y, w, h = mask.toBbox(encoded)
        assert mask_box(encoded['counts'].decode(), height, width) == (x, y, x + w, y + h)
    draw(tmp_path / 'a.jpg')
    coco(tmp_path / 'a.json', [('a.jpg', 100, 80)], [{**GOOD, **masked(RUNS)}], ['a'])
    assert found(read()[0], tmp_path) == {'': {'a.jpg': [('a', BOX)]}}


@pytest.mark.parametrize('name', ['a' * 300 + '.jpg', 'a\0.jpg', '', '/', '..', '[', 'http://[x/a.jpg', 'x/' * 3000])
def test_an_absurd_name_is_an_image_that_is_not_there(name, tmp_path, read):
    draw(tmp_path / 'a.jpg')
    coco(tmp_path / 'a.json', [('a.jpg', 100, 80), (name, 100, 80)], [GOOD], ['a'])
    source, faults = read()
    assert found(source, tmp_path) == {'': {'a.jpg': [('a', BOX)]}}
    assert [place.partition(': ')[2][:9] for place in places(faults)] == ['images[1]']


def test_links_between_folders_pipes_and_links_to_devices(tmp_path, read):
    (tmp_path / 'a').mkdir()
    (tmp_path / 'b').mkdir()
    draw(tmp_path / 'a' / '1.jpg')
    voc(tmp_path / 'a' / '1.xml', ('x', 1, 21, 30, 60))
    for name in 'xyz':
        (tmp_path / 'a' / name).symlink_to('../b')
        (tmp_path / 'b' / name).symlink_to('../a')
    for name in ('p.json', 'p.xml', 'p.yaml', 'p.txt', 'p.jpg'):
        os.mkfifo(tmp_path / 'b' / name)
    (tmp_path / 'b' / 'zero.json').symlink_to('/dev/zero')
    (tmp_path / 'b' / 'gone.jpg').symlink_to('gone')
    source, faults = read()
    assert found(source, tmp_path) == {'': {'a/1.jpg': [('x', (0, 20, 30, 60))]}}
    names = ('gone.jpg', 'p.jpg', 'p.json', 'p.txt', 'p.xml', 'p.yaml', 'zero.json')
    assert places(faults) == [f'{tmp_path}/b/{name}' for name in names]


def test_a_linked_folder_is_read_once(tmp_path, read):
    draw(tmp_path / 'elsewhere' / '1.jpg')
    voc(tmp_path / 'elsewhere' / '1.xml', ('x', 1, 21, 30, 60))
    (tmp_path / 'set').mkdir()
    for name in 'ab':
        (tmp_path / 'set' / name).symlink_to(tmp_path / 'elsewhere')
    source, faults = read('set')
    assert found(source, tmp_path) == {'': {'set/a/1.jpg': [('x', (0, 20, 30, 60))]}} and not places(faults)


@pytest.mark.parametrize(
    ('good', 'bad', 'content'),
    [
        ('train/_annotations.coco.json', 'valid/_annotations.coco.json', '{"images": [{"id": '),
        ('train.json', 'val.json', ''),
        ('train.json', 'val.json', '[' * 100_000),
        ('train.json', 'val.json', b'{"images": "\xff"}'),
    ],
)
def test_a_split_that_cannot_be_read_is_an_error(good, bad, content, tmp_path, read):
    draw(tmp_path / 'train' / 'a.jpg')
    coco(tmp_path / good, [('a.jpg', 100, 80)], [GOOD], ['a'])
    write(tmp_path / bad)
    (tmp_path / bad).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=bad):
        read()


@pytest.mark.parametrize('name', ['dataset.yaml', 'data.yaml'])
def test_a_yaml_that_cannot_be_read_is_an_error_not_a_reason_for_other_names(name, tmp_path, read):
    draw(tmp_path / 'a.jpg')
    write(tmp_path / 'a.txt', LINE)
    (tmp_path / 'classes.txt').write_text('x\n')
    (tmp_path / name).write_text('names: [a, b\nnc: [3\n')
    with pytest.raises(InputError, match=name):
        read()
    source, _ = read('classes.txt')
    assert source.classes == ['x']


def test_yaml_of_aliases_is_no_bomb(tmp_path, read):
    draw(tmp_path / 'images' / 'a.jpg')
    lines = ['a: &a [x, x]', *(f'{y}: &{y} [{",".join([f"*{x}"] * 9)}]' for x, y in zip('abcdefghi', 'bcdefghij'))]
    (tmp_path / 'data.yaml').write_text('\n'.join([*lines, 'train: images', 'names: *j']))
    with pytest.raises(InputError, match=r'data\.yaml: names') as raised:
        read()
    assert len(str(raised.value)) < 500
