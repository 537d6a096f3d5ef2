"""The formats and layouts in which people have their datasets."""

from pathlib import Path

import pytest

from mmspartan.datasets.prepare.faults import Faults
from mmspartan.datasets.prepare.read import read_source
from mmspartan.errors import InputError
from tests.datasets.prepare.conftest import BOX, GOOD, coco, done, draw, found, places, voc, write


def test_voc_devkit_with_names_of_its_own(tmp_path, read):
    root = tmp_path / 'VOC2007'
    for name in 'abcd':
        draw(root / 'JPEGImages' / f'{name}.jpg')
        voc(root / 'Annotations' / f'{name}.xml', ('ship', 11, 21, 30, 60))
    for split, names in {'train': 'a', 'val': 'b', 'test': 'c', 'trainval': 'ab', 'ship_train': 'd'}.items():
        write(root / 'ImageSets' / 'Main' / f'{split}.txt', ''.join(f'{name} 1\n' for name in names))
    source, faults = read()
    objects = [('ship', BOX)]
    assert found(source, root / 'JPEGImages') == {
        'train': {'a.jpg': objects},
        'val': {'b.jpg': objects},
        'test': {'c.jpg': objects},
    }
    assert source.classes == ['ship'] and source.format == 'Pascal VOC'
    assert done(faults) == {('image is in no list of ImageSets/Main', 'dropped', 1)}


def test_voc_devkit_of_trainval_and_test(tmp_path, read):
    for name in 'ab':
        draw(tmp_path / 'JPEGImages' / f'{name}.jpg')
        voc(tmp_path / 'Annotations' / f'{name}.xml', ('ship', 11, 21, 30, 60))
    write(tmp_path / 'ImageSets' / 'Main' / 'trainval.txt', 'a\n')
    write(tmp_path / 'ImageSets' / 'Main' / 'test.txt', 'b\n')
    assert {split: list(samples) for split, samples in found(read()[0], tmp_path / 'JPEGImages').items()} == {
        'train': ['a.jpg'],
        'test': ['b.jpg'],
    }


def test_voc_beside_images_of_which_some_have_no_objects(tmp_path, read):
    for name in ('a.jpg', 'b.JPG', 'c.png'):
        draw(tmp_path / name)
    voc(tmp_path / 'a.xml', ('x', 11, 21, 30, 60), filename='of/another/computer')
    voc(tmp_path / 'b.xml', size=())
    source, faults = read()
    assert found(source, tmp_path) == {'': {'a.jpg': [('x', BOX)], 'b.JPG': [], 'c.png': []}}
    assert not done(faults)


def test_voc_faults(tmp_path, read):
    draw(tmp_path / 'a.jpg')
    voc(
        tmp_path / 'a.xml',
        ('x', 11, 21, 30, 60),
        ('x', 'left', 1, 2, 3),
        (' ', 1, 2, 30, 40),
        ('x', 5, 5, 5, 9),
        size=(0, 0),
        difficult=1,
    )
    voc(tmp_path / 'gone.xml', ('x', 11, 21, 30, 60))
    (tmp_path / 'cut.xml').write_text('<annotation><object>')
    source, faults = read()
    assert [item.ignored for item in source.splits[''][0].objects] == [True]
    assert done(faults) == {
        ('object has no box of four numbers', 'dropped', 1),
        ('object has no name', 'dropped', 1),
        ('box has no width or no height', 'dropped', 1),
        ('image is not there', 'dropped', 1),
        ('annotation file cannot be read', 'dropped', 1),
    }
    assert places(faults, 'notes') == [f'{tmp_path}/a.xml: object 1']  # difficult: no fault


def test_voc_with_namespace_and_broken_files_beside_images(tmp_path, read):
    for name in ('a.jpg', 'b.jpg', 'c.jpg', 'c.png'):
        draw(tmp_path / name)
    voc(tmp_path / 'a.xml', ('x', 11, 21, 30, 60))
    text = (tmp_path / 'a.xml').read_text().replace('<annotation>', '<annotation xmlns="http://a">')
    (tmp_path / 'a.xml').write_text(text, encoding='utf-8-sig')
    (tmp_path / 'b.xml').write_text('')  # b.jpg is no image without objects
    (tmp_path / 'c.xml').write_text(text.replace('a.jpg', 'c.png'))
    source, faults = read()
    assert found(source, tmp_path) == {'': {'a.jpg': [('x', BOX)], 'c.png': [('x', BOX)], 'c.jpg': []}}
    assert [place.partition(': ')[0] for place in places(faults)] == [f'{tmp_path}/b.jpg', f'{tmp_path}/b.xml']


@pytest.mark.parametrize('source', ['', 'Annotations'])
def test_voc_lists_of_names_with_spaces_or_suffixes(source, tmp_path, read):
    for name in ('a b', 'c'):
        draw(tmp_path / 'JPEGImages' / f'{name}.jpg')
        voc(tmp_path / 'Annotations' / f'{name}.xml', ('x', 11, 21, 30, 60))
    write(tmp_path / 'ImageSets' / 'Main' / 'train.txt', '\ufeffa b\n')
    write(tmp_path / 'ImageSets' / 'Main' / 'val.txt', 'c.jpg\n')
    found_there = found(read(source)[0], tmp_path / 'JPEGImages')
    assert found_there == {'train': {'a b.jpg': [('x', BOX)]}, 'val': {'c.jpg': [('x', BOX)]}}


def test_voc_without_its_images_names_the_first(tmp_path, read):
    draw(tmp_path / 'a.jpg')
    voc(tmp_path / 'gone.xml', ('x', 11, 21, 30, 60))
    with pytest.raises(InputError, match=r'; image is not there \(times: 1, first: .*gone\.xml: gone\)$'):
        read()


@pytest.mark.parametrize('folder', ['../{}/images', '{}/images', './{}/images'])
def test_yolo_with_data_yaml(folder, tmp_path, read):
    for split in ('train', 'valid'):
        draw(tmp_path / split / 'images' / f'{split}.jpg')
        write(tmp_path / split / 'labels' / f'{split}.txt', '1 0.2 0.5 0.2 0.5\n')
    (tmp_path / 'data.yaml').write_text(
        f'train: {folder.format("train")}\nval: {folder.format("valid")}\nnc: 2\nnames: [a, b]\n'
    )
    source, faults = read()
    assert found(source, tmp_path) == {
        'train': {'train/images/train.jpg': [('b', BOX)]},
        'val': {'valid/images/valid.jpg': [('b', BOX)]},
    }
    assert source.classes == ['a', 'b'] and not done(faults)


def test_yolo_with_names_by_number_and_lists_of_images(tmp_path, read):
    draw(tmp_path / 'images' / 'a.jpg')
    write(tmp_path / 'labels' / 'a.txt', '0 0.1 0.25 0.3 0.25 0.3 0.75 0.1 0.75\n')  # a polygon
    (tmp_path / 'train.txt').write_text('./images/a.jpg\n')
    (tmp_path / 'set.yaml').write_text('path: .\ntrain: train.txt\nval: train.txt\nnames:\n  0: a\n')
    source, faults = read()
    assert found(source, tmp_path) == {'': {'images/a.jpg': [('a', BOX)]}}
    assert done(faults) == {('val of data.yaml is train: split anew', 'dropped', 1)}


@pytest.mark.parametrize('source', ['', 'set.yaml'])
@pytest.mark.parametrize('entry', ['/content/set/{}/images', 'C:\\me\\set\\{}\\images', '{}.txt'])
def test_yolo_with_paths_of_another_computer(entry, source, tmp_path, read):
    for split in ('train', 'val'):
        draw(tmp_path / split / 'images' / 'a b.jpg')
        (tmp_path / split / 'labels').mkdir()
        (tmp_path / split / 'labels' / 'a b.txt').write_bytes(b'\xef\xbb\xbf0 0.2 0.5 0.2 0.5\r\n')
        (tmp_path / f'{split}.txt').write_bytes(
            f'/content/set/{split}/images/a b.jpg\r\n/content/gone.jpg\r\n'.encode()
        )
    names = '"0": a\n  "1": a'
    text = f'train: {entry.format("train")}\nval: {entry.format("val")}\nnc: "2"\nnames:\n  {names}\n'
    (tmp_path / 'set.yaml').write_text(text, encoding='utf-8-sig')
    source, faults = read(source)
    assert found(source, tmp_path) == {split: {f'{split}/images/a b.jpg': [('a', BOX)]} for split in ('train', 'val')}
    same = {('several classes have the same name: they become one', 'renamed', 1)}
    assert done(faults) == (same | {('image is not there', 'dropped', 2)} if entry == '{}.txt' else same)


def test_yolo_labels_in_a_folder_of_another_name(tmp_path, read):
    for name in ('train/a', 'train/b', 'val/a'):
        draw(tmp_path / 'imgs' / f'{name}.jpg')
    for name, share in {'train/a': 0.5, 'val/a': 0.25}.items():
        write(tmp_path / 'txts' / f'{name}.txt', f'0 0.2 0.5 0.2 {share}\n')
    (tmp_path / 'txts' / 'classes.txt').write_text('x\n', encoding='utf-8-sig')
    assert found(read()[0], tmp_path / 'imgs') == {
        'train': {'train/a.jpg': [('x', BOX)]},
        'val': {'val/a.jpg': [('x', (10, 30, 30, 50))]},
    }


def test_yolo_without_label_files(tmp_path, read):
    draw(tmp_path / 'a.jpg')
    (tmp_path / 'classes.txt').write_text('x\n')
    with pytest.raises(InputError, match='no annotations found'):
        read()
    with pytest.raises(InputError, match=r'a\.jpg: is neither a folder nor an annotation file'):
        read('a.jpg')
    coco(tmp_path / 'a.json', [('a.jpg', 100, 80)], [GOOD], ['x'])
    assert found(read()[0], tmp_path) == {'': {'a.jpg': [('x', BOX)]}}


def test_yolo_of_darknet(tmp_path, read):
    draw(tmp_path / 'obj_train_data' / 'a.jpg')
    draw(tmp_path / 'obj_train_data' / 'b.jpg')
    (tmp_path / 'obj_train_data' / 'a.txt').write_text('0 0.2 0.5 0.2 0.5 0.9\n')  # with the score of a prediction
    (tmp_path / 'obj.names').write_text('thing\n\n')
    source, faults = read()
    assert found(source, tmp_path) == {'train': {'obj_train_data/a.jpg': [('thing', BOX)], 'obj_train_data/b.jpg': []}}
    assert not done(faults)


def test_yolo_faults(tmp_path, read):
    draw(tmp_path / 'a.jpg')
    lines = ['0 0.2 0.5 0.2 0.5', '1 0.2 0.5 0.2 0.5', '0 0.2 0.5 0.2', '0 nan 0.5 0.2 0.5', 'x 1 2 3 4', '']
    (tmp_path / 'a.txt').write_text('\n'.join(lines))
    (tmp_path / 'classes.txt').write_text('a\n')
    source, faults = read()
    assert found(source, tmp_path) == {'': {'a.jpg': [('a', BOX)]}}
    assert done(faults) == {
        ('class is none of the 1 that have names', 'dropped', 1),
        ('line has neither a box nor a polygon', 'dropped', 1),
        ('box is not finite', 'dropped', 1),
        ('line is not made of numbers', 'dropped', 1),
    }


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('train: images\nval: images\nnames: 3\n', r'data\.yaml: names: is .3., must be a list of names'),
        ('train: images\nval: images\nnames: {1: a}\n', r'names: has the keys \[1\], must have 0, 1, 2'),
        ('train: images\nval: images\nnc: 2\nnames: [a]\n', 'nc: is .2., but names has 1 names'),
        ('train: images\nval: images\nnames: {b: a, 0: c}\n', r"names: has the keys \['b', 0\], must have 0, 1, 2"),
        ('train: gone\nval: images\nnames: [a]\n', r'data\.yaml: gone: not there; looked for '),
        ('train: [images\n', r'data\.yaml: is no YAML: '),
    ],
)
def test_wrong_data_yaml(text, message, tmp_path, read):
    draw(tmp_path / 'images' / 'a.jpg')
    (tmp_path / 'data.yaml').write_text(text)
    with pytest.raises(InputError, match=message):
        read()


def test_coco_of_roboflow(tmp_path, read):
    names = dict(
        categories=[dict(id=0, name='project', supercategory='none'), dict(id=1, name='a', supercategory='project')]
    )
    for seed, split in enumerate(('train', 'valid', 'test')):
        draw(tmp_path / split / 'same_jpg.rf.123.jpg', seed=seed)
        file = tmp_path / split / '_annotations.coco.json'
        coco(file, [('same_jpg.rf.123.jpg', 100, 80)], [GOOD], ['a'], **names)
    source, faults = read()
    assert found(source, tmp_path) == {
        split: {f'{folder}/same_jpg.rf.123.jpg': [('a', BOX)]}
        for split, folder in {'test': 'test', 'train': 'train', 'val': 'valid'}.items()
    }
    assert source.classes == ['a'] and not done(faults)


@pytest.mark.parametrize('name', ['../../label-studio/data/media/upload/1/a.jpg', '12cd34ab-a.jpg'])
def test_coco_of_label_studio_and_cvat(name, tmp_path, read):
    draw(tmp_path / 'images' / 'a.jpg')
    polygon = dict(image_id=0, category_id=1, segmentation=[[10, 20, 30, 20, 30, 60]])
    coco(tmp_path / 'result.json', [(name, None, None)], [polygon], ['a'])
    assert found(read()[0], tmp_path) == {'': {'images/a.jpg': [('a', BOX)]}}


def test_coco_faults(tmp_path, read):
    draw(tmp_path / 'a.jpg')
    wrong = [
        {**GOOD, 'image_id': 7},
        {**GOOD, 'category_id': 9},
        {**GOOD, 'bbox': [1, 2, 3]},
        {**GOOD, 'bbox': ['a', 2, 3, 4]},
        {**GOOD, 'iscrowd': 1, 'bbox': [1, 2, 30, 40]},
    ]
    coco(tmp_path / 'a.json', [('a.jpg', 100, 80), ('gone.jpg', 10, 10)], wrong, ['a'])
    source, faults = read()
    assert [item.ignored for item in source.splits[''][0].objects] == [True]
    assert done(faults) == {
        ('image is not there', 'dropped', 1),
        ('object is of an image that the file does not list', 'dropped', 1),
        ('object is of a class that the file does not list', 'dropped', 1),
        ('object has no box of four numbers', 'dropped', 2),
    }
    assert places(faults, 'notes') == [f'{tmp_path}/a.json: annotations[4]']  # a crowd: no fault


def test_coco_ids_and_sizes_that_are_none(tmp_path, read):
    draw(tmp_path / 'a.jpg')
    wrong = [dict(image_id=[0]), dict(category_id={}), dict(category_id=2, bbox=[1, 2, 30, 40])]
    entries = [{**GOOD, **entry} for entry in ({}, *wrong)]
    coco(tmp_path / 'a.json', [('a.jpg', float('inf'), 80)], entries, ['a', 'a'])
    source, faults = read()
    assert found(source, tmp_path) == {'': {'a.jpg': [('a', BOX), ('a', (1, 2, 31, 42))]}}
    assert done(faults) == {
        ('object is of an image that the file does not list', 'dropped', 1),
        ('object is of a class that the file does not list', 'dropped', 1),
        ('several classes have the same name: they become one', 'renamed', 1),
    }


@pytest.mark.parametrize(
    ('categories', 'message'),
    [
        ([dict(id=1, name='a'), dict(id=1, name='b')], r'a\.json: categories: the id 1 is there twice'),
        ([dict(id=1, name=' ', supercategory=[])], r'COCO \(a\.json\): a class has an empty name'),
    ],
)
def test_wrong_coco_categories(categories, message, tmp_path, read):
    draw(tmp_path / 'a.jpg')
    coco(tmp_path / 'a.json', [('a.jpg', 100, 80)], [GOOD], [], categories=categories)
    with pytest.raises(InputError, match=message):
        read()


def test_coco_file_beside_the_folder_of_the_images_named_from_here(tmp_path, monkeypatch):
    draw(tmp_path / 'images' / 'a.jpg')
    coco(tmp_path / 'labels' / 'a.json', [('a.jpg', 100, 80)], [GOOD], ['a'])
    monkeypatch.chdir(tmp_path)
    source, root = read_source(Path('labels/a.json'), Faults())
    assert [sample.path for sample in source.splits['']] == [Path('images/a.jpg')] and root == Path()


def test_a_prepared_folder_within_the_source_is_no_part_of_it(tmp_path, read):
    draw(tmp_path / 'a.jpg')
    draw(tmp_path / 'mine' / 'train' / 'a.jpg')
    coco(tmp_path / 'a.json', [('a.jpg', 100, 80)], [GOOD], ['a'])
    for name in ('train.json', 'val.json'):
        coco(tmp_path / 'mine' / name, [('train/a.jpg', 100, 80)], [GOOD], ['a'])
    for name in ('config.py', 'report.html'):
        (tmp_path / 'mine' / name).touch()
    assert found(read()[0], tmp_path) == {'': {'a.jpg': [('a', BOX)]}}
    assert found(read('mine')[0], tmp_path / 'mine')['val'] == {'train/a.jpg': [('a', BOX)]}


@pytest.mark.parametrize(
    ('name', 'content', 'message'),
    [
        ('a.json', '{"frames": []}', r'a\.json: .*COCO'),
        ('a.json', '[{"image": "a.jpg", "annotations": []}]', r'a\.json: CreateML.*COCO'),
        ('a.json', '[{"image": "a.jpg", "annotation_id": 1, "annotator": 1}]', r'a\.json: .*JSON-MIN'),
        ('a.xml', '<annotations><track/></annotations>', r'a\.xml: .*COCO 1\.0'),
        ('b.json', '[]', 'no annotations found: neither a COCO'),
        ('b.json', '{"images": ', r'no annotations found.*b\.json'),
    ],
)
def test_known_formats_that_are_not_read(name, content, message, tmp_path, read):
    draw(tmp_path / 'a.jpg')
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=message):
        read()


def test_images_elsewhere(tmp_path, read):
    voc(tmp_path / 'labels' / 'a.xml', ('x', 11, 21, 30, 60))
    with pytest.raises(InputError, match='no image at all; name their folder by --pictures'):
        read('labels')
    draw(tmp_path / 'elsewhere' / 'deep' / 'a.jpg')
    source, _ = read('labels', images=tmp_path / 'elsewhere')
    assert found(source, tmp_path) == {'': {'elsewhere/deep/a.jpg': [('x', BOX)]}}
