"""Conventions that files do not tell: evidence decides, otherwise the guess names the option for another choice."""

import cv2
import numpy as np
import pytest

from mmspartan.errors import InputError
from tests.datasets.prepare.conftest import BOX, coco, done, draw, found, labelme, options, places, voc


@pytest.mark.parametrize(
    ('corners', 'first', 'option'),
    [
        ([(11, 21, 30, 60)], 1, ['--box-format from-0']),
        ([(11, 21, 30, 60), (1, 5, 9, 9)], 1, []),
        ([(11, 21, 30, 60), (0, 5, 9, 9)], 0, []),
        ([(11, 21, 30, 60), (0, 5, 9, 9), (1, 5, 9, 9), (5, 0, 9, 9)], 0, ['--box-format from-1']),
    ],
)
def test_voc_counts_from_0_or_1(corners, first, option, tmp_path, read):
    draw(tmp_path / 'a.jpg')
    voc(tmp_path / 'a.xml', *(('x', *box) for box in corners))
    source, faults = read()
    assert source.splits[''][0].objects[0].box == (11 - first, 21 - first, 30, 60)
    assert options(faults) == option
    for chosen in (0, 1):
        source, faults = read(box_format=f'from-{chosen}')
        assert source.splits[''][0].objects[0].box == (11 - chosen, 21 - chosen, 30, 60) and not options(faults)


def boxes(tmp_path, *found_boxes: list) -> None:
    draw(tmp_path / 'a.jpg')
    entries = [dict(image_id=0, category_id=1, bbox=list(box)) for box in found_boxes]
    coco(tmp_path / 'a.json', [('a.jpg', 100, 80)], entries, ['a'])


@pytest.mark.parametrize(
    ('written', 'first'),
    [
        ([(10, 20, 30, 60), (40, 5, 90, 20), (50, 50, 100, 80)], (10, 20, 30, 60)),
        ([(0.1, 0.25, 0.2, 0.5), (0.5, 0.5, 0.5, 0.5)], (10, 20, 30, 60)),
        ([(0.1, 0.25, 0.3, 0.75), (0.5, 0.5, 0.75, 1)], (10, 20, 30, 60)),
    ],
    ids=['corners', 'shares', 'corners in shares'],
)
def test_coco_boxes_of_another_convention(written, first, tmp_path, read):
    boxes(tmp_path, *written)
    source, faults = read()
    assert source.splits[''][0].objects[0].box == pytest.approx(first)
    assert options(faults) == ['--box-format xywh'] and places(faults, 'guesses') == [f'{tmp_path}/a.json']
    source, faults = read(box_format='xywh')
    assert source.splits[''][0].objects[0].box[:2] == written[0][:2] and not options(faults)


def test_coco_boxes_that_may_be_corners_but_fit_as_they_are(tmp_path, read):
    boxes(tmp_path, (1, 2, 30, 40), (3, 4, 50, 50), (5, 6, 50, 50))
    source, faults = read()
    assert source.splits[''][0].objects[0].box == (1, 2, 31, 42) and not options(faults)
    assert read(box_format='xyxy')[0].splits[''][0].objects[0].box == (1, 2, 30, 40)


def yolo(tmp_path, *lines: str) -> None:
    draw(tmp_path / 'a.jpg')
    (tmp_path / 'a.txt').write_text('\n'.join(lines))
    (tmp_path / 'classes.txt').write_text('a\n')


@pytest.mark.parametrize(
    ('last', 'is_track', 'option'),
    [(['7', '12'], True, []), (['1', '0'], True, ['--box-format polygon']), (['1', '0.5'], False, [])],
)
def test_six_values_are_a_track_or_a_triangle(last, is_track, option, tmp_path, read):
    yolo(tmp_path, *(f'0 0.2 0.5 0.2 0.5 0.9 {value}' for value in last))
    source, faults = read()
    item = source.splits[''][0].objects[0]
    assert (item.box == pytest.approx(BOX)) == is_track and options(faults) == option
    for chosen in ('track', 'polygon'):
        source, faults = read(box_format=chosen)
        item = source.splits[''][0].objects[0]
        assert (item.box == pytest.approx(BOX)) == (chosen == 'track') and not options(faults)


def test_a_box_format_of_another_format_is_refused(tmp_path, read):
    yolo(tmp_path, '0 0.2 0.5 0.2 0.5')
    with pytest.raises(InputError, match='--box-format xyxy'):
        read(box_format='xyxy')


def test_names_are_as_they_are_written_in_yaml(tmp_path, read):
    draw(tmp_path / 'images' / 'a.jpg')
    (tmp_path / 'labels').mkdir()
    (tmp_path / 'labels' / 'a.txt').write_text('')
    written = ['no', 'yes', '010', 'null', '12:30:00', '1e3', '~', '2001-01-01', 'on']
    (tmp_path / 'data.yaml').write_text(f'train: images\nval: null\nnames: [{", ".join(written)}]\n')
    source, faults = read()
    assert source.classes == written and not options(faults) and not done(faults)


def test_several_files_with_names_of_classes(tmp_path, read):
    yolo(tmp_path, '0 0.2 0.5 0.2 0.5')
    (tmp_path / 'deep').mkdir()
    (tmp_path / 'deep' / 'classes.txt').write_text('a\n')
    assert not options(read()[1])  # the same names
    (tmp_path / 'deep' / 'classes.txt').write_text('b\n')
    source, faults = read()
    assert source.classes == ['a'] and places(faults, 'guesses') == [f'{tmp_path}/deep/classes.txt']


def test_an_empty_line_among_names_is_refused_since_it_would_move_all_others(tmp_path, read):
    yolo(tmp_path, '0 0.2 0.5 0.2 0.5')
    (tmp_path / 'classes.txt').write_text('a\n\nb\n')
    with pytest.raises(InputError, match=r'classes\.txt: line 2'):
        read()


@pytest.mark.parametrize('split_by', ['folders', 'names', 'nothing'])
def test_names_of_images_divide_only_on_request(split_by, tmp_path, read):
    for name in ('train_1', 'val_1', 'other'):
        draw(tmp_path / f'{name}.jpg')
        voc(tmp_path / f'{name}.xml', ('x', 1, 21, 30, 60))
    source, faults = read(split_by=split_by)
    named = {'train': ['train_1.jpg'], 'val': ['val_1.jpg'], '': ['other.jpg']}
    expected = named if split_by == 'names' else {'': ['other.jpg', 'train_1.jpg', 'val_1.jpg']}
    assert {split: sorted(p.path.name for p in found) for split, found in source.splits.items() if found} == expected
    assert options(faults) == (['--split-by names'] if split_by == 'folders' else [])


@pytest.mark.parametrize('is_voc', [True, False])
def test_a_station_is_no_split(is_voc, tmp_path, read):
    for name in ('train_station_1', 'harbour_2'):
        draw(tmp_path / f'{name}.jpg')
        if is_voc:
            voc(tmp_path / f'{name}.xml', ('x', 1, 21, 30, 60))
        else:
            labelme(tmp_path / f'{name}.json', ('x', 'rectangle', [[0, 20], [30, 60]]))
    source, faults = read()
    assert list(found(source, tmp_path)) == [''] and not options(faults)


@pytest.mark.parametrize(('largest', 'option'), [(4095, ['--bits 12 --copy']), (65535, [])])
@pytest.mark.parametrize('suffix', ['png', 'tif'])
def test_bits_of_16_bit_images(largest, option, suffix, tmp_path, read):
    pixels = np.random.default_rng(0).integers(0, largest, (80, 100), np.uint16)
    pixels[0, 0] = largest
    cv2.imwrite(str(tmp_path / f'a.{suffix}'), pixels)
    voc(tmp_path / 'a.xml', ('x', 1, 21, 30, 60))
    assert options(read()[1]) == option


def test_images_of_12_bits_are_named_beside_those_of_16(tmp_path, read):
    for name, largest in dict(dark=4000, dim=30000, full=65535).items():
        cv2.imwrite(str(tmp_path / f'{name}.png'), np.full((80, 100), largest, np.uint16))
        voc(tmp_path / f'{name}.xml', ('x', 1, 21, 30, 60))
    guesses = {option: named for (_, option), named in read()[1].guesses.items()}
    assert guesses['--bits 12 --copy'] == [str(tmp_path / 'dark.png')]


def test_images_of_floating_point_values_are_told(tmp_path, read):
    for name in 'ab':
        draw(tmp_path / f'{name}.tif')
        voc(tmp_path / f'{name}.xml', ('x', 1, 21, 30, 60))
    cv2.imwrite(str(tmp_path / 'b.tif'), np.random.default_rng(0).random((80, 100), np.float32))
    source, faults = read()
    assert list(found(source, tmp_path)['']) == ['a.tif'] and len(places(faults)) == 1
