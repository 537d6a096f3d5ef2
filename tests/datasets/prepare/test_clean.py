"""Images and boxes that are wrong, and what is done about them."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, features

from tests.datasets.prepare.conftest import done, draw, found, places, voc


def save(path: Path, pixels: np.ndarray, orientation: int) -> None:
    """Write an image with an orientation of EXIF."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(path, exif=exif)


def test_boxes_are_clipped_or_dropped(tmp_path, read):
    draw(tmp_path / 'a.jpg')
    voc(
        tmp_path / 'a.xml',
        ('x', 1, 1, 100, 80),
        ('x', 0, 0, 101, 81),  # within a pixel of the image: as programs round
        ('x', -9, 11, 50, 40),
        ('x', 60, 11, 50, 40),
        ('x', 200, 11, 250, 40),
        ('x', 11, 11, 11.2, 40),
        ('x', 'inf', 11, 50, 40),
    )
    source, faults = read()
    assert found(source, tmp_path)['']['a.jpg'] == [
        ('x', (0, 0, 100, 80)),
        ('x', (0, 10, 50, 40)),
        ('x', (10, 10, 11.2, 40)),
    ]
    assert done(faults) == {
        ('object is there twice', 'dropped', 1),
        ('box exceeds the image', 'clipped', 1),
        ('box has no width or no height', 'dropped', 1),
        ('box is outside of the image', 'dropped', 1),
        ('box is not finite', 'dropped', 1),
    }


@pytest.mark.parametrize('orientation', [5, 6, 7, 8])
@pytest.mark.parametrize('suffix', ['png', 'tif'])
def test_boxes_of_the_image_as_it_is_stored_are_rotated_with_it(suffix, orientation, tmp_path, read):
    stored = np.zeros((80, 100, 3), np.uint8)
    stored[20:60, 10:30] = 255
    path = tmp_path / f'a.{suffix}'
    save(path, stored, orientation)
    voc(tmp_path / 'a.xml', ('x', 11, 21, 30, 60))
    source, faults = read()
    shown = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    if suffix == 'tif' and shown.shape[:2] == (80, 100):
        pytest.skip('this version of OpenCV does not rotate TIFF files')
    rows, columns = np.where(shown[..., 0])
    [(name, box)] = found(source, tmp_path)[''][path.name]
    assert source.splits[''][0].size == shown.shape[1::-1] == (80, 100)
    assert box == pytest.approx((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))
    assert done(faults) == {('boxes are of the image without its EXIF orientation', 'rotated', 1)}


@pytest.mark.parametrize('orientation', [1, 3, 5, 6, 7, 8])
@pytest.mark.parametrize('suffix', ['tif', 'jpg', 'webp', 'avif', 'png'])
def test_the_size_is_that_of_the_loader(suffix, orientation, tmp_path, read):
    if suffix == 'avif' and not features.check('avif'):
        pytest.skip('Pillow writes AVIF from 11.3 on')
    save(tmp_path / f'a.{suffix}', np.zeros((80, 100, 3), np.uint8), orientation)
    voc(tmp_path / 'a.xml', ('x', 1, 21, 30, 60), size=())
    [sample] = read()[0].splits['']
    loaded = cv2.imdecode(np.fromfile(sample.path, np.uint8), cv2.IMREAD_COLOR)
    assert sample.size == loaded.shape[1::-1]


def test_several_frames_are_told(tmp_path, read):
    frames = [Image.fromarray(np.full((80, 100, 3), value, np.uint8)) for value in (0, 99)]
    frames[0].save(tmp_path / 'a.gif', save_all=True, append_images=frames[1:])
    voc(tmp_path / 'a.xml', ('x', 1, 21, 30, 60))
    source, faults = read()
    assert len(source.splits['']) == 1 and places(faults) == [f'{tmp_path}/a.gif']


@pytest.mark.parametrize(('orientation', 'size'), [(3, (100, 80)), (6, ()), (6, (100, 100))])
def test_boxes_that_may_be_of_the_stored_or_the_upright_image_are_told(orientation, size, tmp_path, read):
    width, height = size or (100, 80)
    save(tmp_path / 'a.png', np.zeros((height, width, 3), np.uint8), orientation)
    voc(tmp_path / 'a.xml', ('x', 11, 21, 30, 60), size=size)
    source, faults = read()
    assert found(source, tmp_path) == {'': {'a.png': [('x', (10, 20, 30, 60))]}}
    [(_, option, count, _)] = [row for row in faults.rows('guesses') if 'orientation' in row[1]]
    assert (option, count) == ('--box-orientation stored', 1) and not done(faults)
    source, faults = read(box_orientation='upright')
    assert found(source, tmp_path) == {'': {'a.png': [('x', (10, 20, 30, 60))]}}
    source, faults = read(box_orientation='stored')
    turned = {3: (width - 30, height - 60, width - 10, height - 20), 6: (height - 60, 10, height - 20, 30)}
    [(_, box)] = found(source, tmp_path)['']['a.png']
    assert box == pytest.approx(turned[orientation])
    assert not any('orientation' in row[1] for row in faults.rows('guesses'))


@pytest.mark.parametrize('orientation', [2, 3, 4])
def test_mirrored_photographs_are_guessed_as_those_whose_size_tells(orientation, tmp_path, read):
    """The box is where the loader shows the object."""
    stored = np.zeros((80, 100), np.uint8)
    stored[20:60, 10:30] = 255
    for name, value in (('a', orientation), ('b', 6)):
        save(tmp_path / f'{name}.png', stored, value)
        voc(tmp_path / f'{name}.xml', ('x', 11, 21, 30, 60), size=(100, 80))  # of b that is the stored size
    source, faults = read()
    rows, columns = np.where(cv2.imdecode(np.fromfile(tmp_path / 'a.png', np.uint8), cv2.IMREAD_COLOR)[..., 0])
    [(_, box)] = found(source, tmp_path)['']['a.png']
    assert box == pytest.approx((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))
    [(_, option, count, _)] = [row for row in faults.rows('guesses') if 'orientation' in row[1]]
    assert (option, count) == ('--box-orientation upright', 1)


def test_images_that_cannot_be_used(tmp_path, read):
    for name in 'abcd':
        draw(tmp_path / f'{name}.jpg')
        voc(tmp_path / f'{name}.xml', ('x', 11, 21, 30, 60), size=(50, 40) if name == 'b' else (100, 80))
    content = (tmp_path / 'c.jpg').read_bytes()
    (tmp_path / 'c.jpg').write_bytes(content[: len(content) // 2])
    (tmp_path / 'd.jpg').write_bytes(b'')
    source, faults = read()
    assert list(found(source, tmp_path)['']) == ['a.jpg']
    assert done(faults) == {
        ('image has another size than its annotations say', 'dropped', 1),
        ('image is damaged', 'dropped', 1),
        ('image is empty', 'dropped', 1),
    }


def test_the_same_image_twice(tmp_path, read):
    for split in ('train', 'val'):
        draw(tmp_path / split / 'a.jpg', seed=0)
        voc(tmp_path / split / 'a.xml', ('x', 11, 21, 30, 60))
    draw(tmp_path / 'train' / 'b.jpg', seed=1)
    voc(tmp_path / 'train' / 'b.xml', ('x', 11, 21, 30, 60))
    for name, box in {'c': 31, 'd': 32}.items():  # by a pixel, as boxes of VOC and of other formats, and by two
        shutil.copy(tmp_path / 'train' / 'b.jpg', tmp_path / 'train' / f'{name}.jpg')
        voc(tmp_path / 'train' / f'{name}.xml', ('x', 11, 21, box, 60))
    source, faults = read()
    assert {split: sorted(samples) for split, samples in found(source, tmp_path).items()} == {
        'train': ['train/b.jpg', 'train/d.jpg'],
        'val': ['val/a.jpg'],
    }
    assert done(faults) == {
        ('image of train is in val as well', 'dropped', 1),
        ('image is there twice', 'dropped', 1),
        ('image is there twice, with other objects', 'kept', 1),
    }


def test_names_of_classes(tmp_path, read):
    draw(tmp_path / 'a.jpg')
    voc(tmp_path / 'a.xml', ('dog ', 11, 21, 30, 60), ('Dog', 11, 21, 40, 60), ('dog', 11, 21, 50, 60))
    source, faults = read()
    assert source.classes == ['Dog', 'dog']
    assert [name for name, _ in found(source, tmp_path)['']['a.jpg']] == ['dog', 'Dog', 'dog']
    assert {(measure, count) for _, measure, count in done(faults)} == {('renamed', 1), ('kept', 1)}
    counted = "'dog ': 1 objects, the first in {}: object 1".format(tmp_path / 'a.xml')
    assert places(faults) == [counted, 'Dog (1 objects) / dog (2 objects)']
