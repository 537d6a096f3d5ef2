"""Annotation files: what cannot be true is an error or is left out with a word, and nothing is lost without one."""

import json

import pytest
from mmengine.registry import DATASETS

from mmspartan.datasets import checked_coco
from mmspartan.datasets.checked_coco import CheckedCOCO, read_checked_coco
from mmspartan.errors import InputError

IMAGES = [dict(id=1, file_name='a.png', width=64, height=48), dict(id=2, file_name='b.png', width=64, height=48)]
CATEGORIES = [dict(id=1, name='cat'), dict(id=2, name='dog')]


def annotation(number, **entries) -> dict:
    return dict(dict(id=number, image_id=1, category_id=1, bbox=[1, 2, 30, 20], area=600, iscrowd=0), **entries)


@pytest.fixture
def write(tmp_path):
    def run(annotations=None, **entries):
        content = dict(images=IMAGES, categories=CATEGORIES, annotations=annotations, **{})
        content = {**content, **entries}
        path = tmp_path / 'a.json'
        path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))
        return path

    return run


@pytest.fixture
def reports(monkeypatch):
    printed: list[str] = []
    monkeypatch.setattr(checked_coco, '_reported', set())
    monkeypatch.setattr(checked_coco, 'print_log', lambda text, *args, **kwargs: printed.append(text))
    return printed


def test_file_without_a_fault_is_read_as_it_is(write, reports):
    annotations = [annotation(1), annotation(2, image_id=2, category_id=2, iscrowd=1, segmentation=[])]
    assert read_checked_coco(write(annotations))['annotations'] == annotations
    assert not reports


@pytest.mark.parametrize(
    ('entries', 'reason'),
    [
        (dict(image_id=7), r'image_id is no image \(the first is 7\)'),
        (dict(image_id='1'), r'image_id is no image \(the first is "1"\)'),
        (dict(bbox=[float('nan'), 2, 30, 20]), 'bbox is not finite'),
        (dict(bbox=[1, 2, float('inf'), 20]), 'bbox is not finite'),
        (dict(bbox=[1, 2, -30, 20]), 'width or height of bbox is not positive'),
        (dict(bbox=[1, 2, 30, 0]), 'width or height of bbox is not positive'),
        (dict(bbox=[64, 2, 30, 20]), 'bbox is outside of the image'),
        (dict(bbox=[-40, 2, 30, 20]), 'bbox is outside of the image'),
        (dict(bbox=[1, 2, 64_000, 20]), 'bbox is more than 10 times as wide or high as the image'),
        (dict(bbox=[1, 2, 30, 1e30]), 'bbox is more than 10 times as wide or high as the image'),
    ],
    ids=str,
)
def test_annotation_that_cannot_be_used_is_left_out_with_a_report(entries, reason, write, reports):
    path = write([annotation(1), annotation(5, **entries), annotation(6, **entries)])
    assert [one['id'] for one in read_checked_coco(path)['annotations']] == [1]
    read_checked_coco(path)
    (report,) = reports  # one a file, however often it is read
    first, line = report.splitlines()
    assert first == f'{path}: 2 of 3 annotations left out'
    assert line.split('  ')[1] == reason.replace('\\', '') and line.endswith('2  ids 5, 6')

    with pytest.raises(InputError, match=rf'a\.json: none of its 1 annotations can be used: {reason}.*first id 5'):
        read_checked_coco(write([annotation(5, **entries)]))


def test_annotations_are_numbered_from_1_where_ids_do_not_tell_them_apart(write):
    for ids in ((0, 1, 2), (4, 4, 5), ('a', 'b', 'c'), (None, None, None), (4, 10**30, 5)):
        kept = read_checked_coco(write([annotation(number) for number in ids]))['annotations']
        assert [one['id'] for one in kept] == [1, 2, 3]
    kept = read_checked_coco(write([{key: value for key, value in annotation(1).items() if key != 'id'}]))[
        'annotations'
    ]
    assert kept[0]['id'] == 1


def test_ids_that_are_numbers_and_texts_are_numbered(write):
    categories, images = [*CATEGORIES, dict(id='x', name='cow')], [*IMAGES, dict(IMAGES[0], id='1', file_name='c.png')]
    read = read_checked_coco(
        write([annotation(1, category_id='x', image_id='1'), annotation(2)], categories=categories, images=images)
    )
    assert [(one['category_id'], one['image_id']) for one in read['annotations']] == [(3, 3), (1, 1)]
    assert [one['id'] for one in read['categories']] == [one['id'] for one in read['images']] == [1, 2, 3]


def test_area_and_iscrowd_have_defaults_and_an_area_that_cannot_be_is_reported(write, reports):
    bare = {key: value for key, value in annotation(1).items() if key not in ('area', 'iscrowd')}
    (kept,) = read_checked_coco(write([bare]))['annotations']
    assert (kept['area'], kept['iscrowd']) == (600, 0) and not reports
    for area in (0, -1, float('nan'), 'large', 10**400):
        (kept,) = read_checked_coco(write([annotation(1, area=area)]))['annotations']
        assert kept['area'] == 600
    assert reports and reports[0].endswith('1 annotations: area is not positive; the area of the box is used')


@pytest.mark.parametrize(
    ('entries', 'message'),
    [
        (dict(images=[]), 'images is an empty list'),
        (dict(categories=[]), 'categories is an empty list'),
        (dict(images=None), 'images: is null, must be a list'),
        (dict(annotations=3), 'annotations: is 3, must be a list'),
        (dict(images=[3]), r'images\[0\]: is 3, must be a dict'),
        (dict(images=[dict(IMAGES[0], width=0)]), r'images\[0\]\.width: is 0, must be a positive whole number'),
        (dict(images=[dict(IMAGES[0], height='48')]), r'images\[0\]\.height: is "48", must be a positive'),
        (dict(images=[dict(IMAGES[0], file_name='a\0b.png')]), r'images\[0\]\.file_name: is "a.*b\.png", must be a'),
        (dict(images=[dict(id=1, file_name='a.png', width=3)]), r'images\[0\]\.height: is missing'),
        (dict(images=[IMAGES[0], IMAGES[0]]), r'images\[1\]\.id: 1 is there twice, images\[0\] has it as well'),
        (dict(categories=[CATEGORIES[0], dict(id=1, name='x')]), r'categories\[1\]\.id: 1 is there twice'),
        (dict(categories=[CATEGORIES[0], dict(id=3, name='cat')]), r'categories\[1\]\.name: "cat" is there twice'),
        (dict(annotations=[annotation(1, bbox=None)]), r'annotations\[0\]\.bbox: is null, must be four numbers'),
        (dict(annotations=[annotation(1, bbox=[1, 2, 3])]), r'annotations\[0\]\.bbox: is \[1, 2, 3\], must be four'),
        (dict(annotations=[annotation(1, bbox=['1', 2, 3, 4])]), r'annotations\[0\]\.bbox: is \["1", 2, 3, 4\]'),
        (dict(annotations=[annotation(1, iscrowd=7)]), r'annotations\[0\]\.iscrowd: is 7, must be 0 or 1'),
        (dict(annotations=[dict(id=1)]), r'annotations\[0\]\.image_id: is missing'),
        (dict(annotations=[annotation(1, category_id=[1])]), r'annotations\[0\]\.category_id: is \[1\], must be'),
        (
            dict(annotations=[annotation(i, category_id=i % 2) for i in range(4)]),
            r'annotations are of categories that it does not list: category_id 0 \(2 annotations\); .* the ids 1, 2',
        ),
        (
            dict(annotations=[annotation(1, bbox=[0.1, 0.2, 0.3, 0.4])]),
            r'all boxes are within \[0, 1\], annotations\[0\]\.bbox: \[0\.1, 0\.2, 0\.3, 0\.4\]; COCO has .* in pixels',
        ),
    ],
    ids=str,
)
def test_structure_that_is_wrong_is_an_error_that_names_file_and_entry(entries, message, write):
    content = dict(annotations=[annotation(1)])
    with pytest.raises(InputError, match=rf'a\.json: {message}'):
        read_checked_coco(write(**{**content, **entries}))


def test_bytes_that_are_no_json_are_named_and_other_encodings_are_read(write, tmp_path):
    path = write([annotation(1)])
    text = path.read_text()
    path.write_bytes(text.encode('utf-16'))
    assert len(read_checked_coco(path)['annotations']) == 1
    for content, message in [
        (b'', 'is empty'),
        (text[:-5].encode(), 'not JSON: '),
        (b'\xff\xd8\xff', 'not JSON: '),
        (b'[' * 100_000, 'not JSON: '),
        (b'[]', r'is \[\], must be a dict'),
    ]:
        path.write_bytes(content)
        with pytest.raises(InputError, match=rf'a\.json: {message}'):
            read_checked_coco(path)


@pytest.fixture
def build(write, tmp_path):
    def run(classes=('cat', 'dog'), annotations=None, test_mode=False, **entries):
        write([annotation(1)] if annotations is None else annotations, **entries)
        options = dict(data_root=str(tmp_path), ann_file='a.json', data_prefix=dict(img=''), pipeline=[])
        metainfo = dict(classes=tuple(classes))
        return DATASETS.build(dict(type='CheckedCocoDataset', metainfo=metainfo, test_mode=test_mode, **options))

    return run


def test_dataset_has_the_objects_of_the_file(build):
    dataset = build(annotations=[annotation(1), annotation(2, category_id=2), annotation(3, image_id=2)])
    assert [[one['bbox_label'] for one in dataset.get_data_info(i)['instances']] for i in (0, 1)] == [[0, 1], [0]]


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(classes=('cat', 'bird')), r"no category is called \['bird'\].*\['cat', 'dog'\]"),
        (dict(classes=('dog', 'cat')), 'metainfo.classes has another order than the file'),
        (dict(classes=('cat', 'cat')), r"\['cat'\] are there twice"),
        (dict(annotations=[]), 'a.json: no object to train on: of its 0 annotations none is of cat, dog'),
        (dict(classes=('dog',)), 'a.json: no object to train on: of its 1 annotations none is of dog'),
        (dict(annotations=[annotation(1, bbox=[9, 9, 0.5, 9])]), 'no object to train on'),
    ],
    ids=str,
)
def test_dataset_refuses_classes_and_objects_that_are_not_there(options, message, build):
    with pytest.raises(InputError, match=message):
        build(**options)


def test_images_without_annotations_can_be_predicted(build):
    assert len(build(annotations=[], test_mode=True)) == 2


def test_interface_of_mmdet_is_kept(write):
    coco = CheckedCOCO(write([annotation(0), annotation(1, category_id=2)]))
    assert coco.get_img_ids() == [1, 2] and coco.get_cat_ids(cat_names=['dog']) == [2]
    assert coco.get_ann_ids(img_ids=[1]) == [1, 2] and set(coco.cat_img_map) == {1, 2}
