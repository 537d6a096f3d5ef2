"""Each file of a dataset is used, or is named with the reason; what an annotation means is never another image."""

import json
import os
import shutil
import unicodedata
from urllib.parse import quote

import pytest

from mmspartan.datasets.prepare.clean import clean
from mmspartan.datasets.prepare.divide import Division, divide
from mmspartan.datasets.prepare.faults import Faults
from mmspartan.datasets.prepare.read import read_sources
from mmspartan.datasets.prepare.source import PREPARED, Choices
from mmspartan.errors import InputError
from tests.datasets.prepare.conftest import BOX, GOOD, LINE, coco, done, draw, found, labelme, places, voc, write


def names(found_places: list[str], root) -> list[str]:
    """Names below the root of the files that the places begin with."""
    return sorted(place.partition(': ')[0].removeprefix(f'{root}/') for place in found_places)


def entries(tmp_path, *file_names: str, **options) -> None:
    """A COCO file with an object in each of these images."""
    coco(
        tmp_path / 'a.json',
        [(name, 100, 80) for name in file_names],
        [{**GOOD, 'image_id': i, **options} for i in range(len(file_names))],
        ['a'],
    )


def test_names_that_contradict_each_other_and_scores_are_noted(tmp_path, read):
    for name in ('v/a.jpg', 'v/b.jpg', 'y/images/train/a.jpg', 'c/0.jpg'):
        draw(tmp_path / name)
    voc(tmp_path / 'v' / 'a.xml', ('x', 11, 21, 30, 60), filename='b.jpg')
    voc(tmp_path / 'v' / 'b.xml', ('x', 11, 21, 30, 60), filename='a.jpg')
    write(tmp_path / 'y' / 'labels' / 'train' / 'a.txt', LINE.strip() + ' 0.9')
    write(tmp_path / 'y' / 'data.yaml', 'train: /home/bob/images/train\nnames: [x]\n')
    coco(tmp_path / 'c' / 'a.json', [('0.jpg', 100, 80)], [{**GOOD, 'score': 0.9}], ['a'])
    for folder, noted in (('v', ['a.xml', 'b.xml']), ('y', ['data.yaml', 'labels/train/a.txt']), ('c', ['a.json'])):
        source, faults = read(folder)
        assert source.splits and set(noted) <= set(names(places(faults, 'notes'), tmp_path / folder)), folder


def test_files_that_are_not_used_are_named(tmp_path, read):
    for name in ('a.jpg', 'unused.jpg', 'deep/unused.png'):
        draw(tmp_path / name)
    entries(tmp_path, 'a.jpg')
    for name in ('other.json', 'other.xml', 'table.csv', 'README.txt', '.hidden', '.git/config', 'model.bin'):
        write(tmp_path / name, '{}')
    _, faults = read()
    assert names(places(faults), tmp_path) == ['deep/unused.png', 'other.json', 'other.xml', 'table.csv', 'unused.jpg']
    assert names(places(faults, 'notes'), tmp_path) == ['.git/', '.hidden', 'README.txt', 'model.bin']


def test_a_yolo_set_names_images_and_labels_that_are_not_used(tmp_path, read):
    for name in ('a', 'b'):
        draw(tmp_path / 'images' / 'train' / f'{name}.jpg')
    draw(tmp_path / 'images' / 'other' / 'c.jpg')
    for name in ('train/a', 'train/gone', 'other/c'):
        write(tmp_path / 'labels' / f'{name}.txt')
    write(tmp_path / 'notes.txt', 'see the paper')
    write(tmp_path / 'data.yaml', 'train: images/train\nnames: [a]\n')
    source, faults = read()
    assert found(source, tmp_path / 'images') == {'train': {'train/a.jpg': [('a', BOX)], 'train/b.jpg': []}}
    unused = ['images/other/c.jpg', 'labels/other/c.txt', 'labels/train/gone.txt']
    assert names(places(faults), tmp_path) == unused
    assert names(places(faults, 'guesses'), tmp_path) == ['images/train/b.jpg']
    assert names(places(faults, 'notes'), tmp_path) == ['notes.txt']


def test_labels_of_another_spelling_or_beside_their_images_are_found(tmp_path, read):
    composed, decomposed = 'café', unicodedata.normalize('NFD', 'café')
    pairs = {'écran 1': quote('écran 1'), decomposed: composed, 'IMG_1': 'img_1', 'web': 'web'}
    for image, label in pairs.items():
        draw(tmp_path / 'images' / f'{image}.jpg')
        write(tmp_path / 'labels' / f'{label}.txt')
    (tmp_path / 'images' / 'web.jpg').rename(tmp_path / 'images' / 'web.jfif')
    draw(tmp_path / 'images' / 'beside.jpg')
    write(tmp_path / 'images' / 'beside.txt')
    write(tmp_path / 'labels' / '0000.txt')  # of two images that were renamed
    write(tmp_path / 'data.yaml', 'train: images\nnames: [a]\n')
    source, faults = read()
    assert [len(sample.objects) for sample in source.splits['train']] == [1] * 5
    kept = [f'labels/{pairs[name]}.txt' for name in ('écran 1', decomposed, 'IMG_1')]
    assert names(places(faults), tmp_path) == sorted([*kept, 'images/beside.txt', 'labels/0000.txt'])


def test_voc_files_that_are_not_used(tmp_path, read):
    for name in ('images/a.jpg', 'masks/a.png', 'other/b.jpg'):
        draw(tmp_path / name)
    for name in ('images/a', 'old/a', 'images/gone'):
        voc(tmp_path / f'{name}.xml', ('x', 1, 21, 30, 60))
    write(tmp_path / 'ImageSets' / 'Main' / 'notes.txt', 'a\n')
    source, faults = read()
    assert found(source, tmp_path) == {'': {'images/a.jpg': [('x', (0, 20, 30, 60))]}}
    unused = ['images/gone.xml', 'masks/a.png', 'old/a.xml', 'other/b.jpg']
    assert names(places(faults), tmp_path) == unused


def test_a_second_voc_file_of_an_image_does_not_replace_that_of_its_name(tmp_path, read):
    draw(tmp_path / 'a.jpg')
    for name in ('a (2)', 'a', 'a_old'):
        voc(tmp_path / f'{name}.xml', (name, 1, 21, 30, 60), filename='a')
    source, faults = read()
    assert found(source, tmp_path) == {'': {'a.jpg': [('a', (0, 20, 30, 60))]}}
    assert names(places(faults), tmp_path) == ['a (2).xml', 'a_old.xml']


def test_several_sources_are_one_dataset(tmp_path):
    for name in ('one', 'two'):
        draw(tmp_path / name / 'images' / 'a.jpg')
    voc(tmp_path / 'one' / 'images' / 'a.xml', ('x', 1, 21, 30, 60))
    write(tmp_path / 'two' / 'labels' / 'a.txt')
    write(tmp_path / 'two' / 'data.yaml', 'train: images\nnames: [y, x]\n')
    faults = Faults()
    source, root = read_sources([tmp_path / 'one', tmp_path / 'two'], faults)
    assert source.classes == ['x', 'y'] and source.format == 'Pascal VOC, YOLO (data.yaml)' and root == tmp_path
    clean(source, faults, lambda items, count: items)
    assert source.undivided == {tmp_path / 'one' / 'images' / 'a.jpg'}
    boxes = {'': {'one/images/a.jpg': [('x', (0, 20, 30, 60))]}, 'train': {'two/images/a.jpg': [('y', BOX)]}}
    assert found(source, tmp_path) == boxes and not done(faults)


@pytest.mark.parametrize('options', [{}, dict(split_by='nothing')])
def test_names_of_several_sources_decide_on_the_split(options, tmp_path):
    folders = [tmp_path / name for name in ('train', 'valid', 'test', 'more')]
    for i, folder in enumerate(folders):
        draw(folder / f'{i}.jpg')
        voc(folder / f'{i}.xml', ('x', 1, 21, 30, 60))
    source, _ = read_sources(folders, Faults(), choices=Choices(**options))
    split = {split: [sample.path.parent.name for sample in samples] for split, samples in source.splits.items()}
    divided = {'train': ['train'], 'val': ['valid'], 'test': ['test'], '': ['more']}
    assert split == ({'': ['train', 'valid', 'test', 'more']} if options else divided)


def test_the_folder_of_an_annotation_file_names_its_split(tmp_path):
    for folder in ('train', 'valid'):
        draw(tmp_path / folder / 'a.jpg')
        coco(tmp_path / folder / '_annotations.coco.json', [('a.jpg', 100, 80)], [GOOD], ['x'])
    files = [tmp_path / folder / '_annotations.coco.json' for folder in ('train', 'valid')]
    source, _ = read_sources(files, Faults())
    assert {split: len(samples) for split, samples in source.splits.items()} == {'train': 1, 'val': 1}


def test_sources_of_the_same_images_are_not_divided_by_their_names(tmp_path):
    draw(tmp_path / 'images' / 'a.jpg')
    for folder in ('train cars', 'people'):
        voc(tmp_path / folder / 'a.xml', (folder, 1, 21, 30, 60))
    source, _ = read_sources([tmp_path / 'train cars', tmp_path / 'people'], Faults(), tmp_path / 'images')
    ((split, (sample,)),) = source.splits.items()
    assert split == '' and [item.name for item in sample.objects] == ['train cars', 'people']


def test_files_of_another_format_that_a_further_source_reads_are_no_fault(tmp_path):
    for folder in ('voc', 'labelme'):
        draw(tmp_path / folder / 'a.jpg', seed=len(folder))
    voc(tmp_path / 'voc' / 'a.xml', ('x', 1, 21, 30, 60))
    labelme(tmp_path / 'labelme' / 'a.json', ('x', 'rectangle', [[30, 60], [10, 20]]))
    for paths, count in (([tmp_path], 1), ([tmp_path, tmp_path / 'labelme'], 0)):
        faults = Faults()
        read_sources(paths, faults)
        assert len([what for what, _, _ in done(faults) if 'another format' in what]) == count


def test_a_folder_that_names_one_split_alone_says_what_to_do(tmp_path):
    draw(tmp_path / 'test' / 'a.jpg')
    voc(tmp_path / 'test' / 'a.xml', ('x', 1, 21, 30, 60))
    faults = Faults()
    source, _ = read_sources([tmp_path], faults)
    with pytest.raises(InputError, match=r'train has 0 of 1 images.*1 in test: .*--split-by nothing'):
        divide(source, {}, Division(0.2, 0), faults, 'set')
    (alone,) = source.splits.pop('test')
    source.splits = {'': [alone]}
    with pytest.raises(InputError, match=r'val has 0 of 1 images, none of them with an object$'):
        divide(source, {alone.path: ''}, Division(0.2, 0), faults, 'set')


def test_an_image_that_several_sources_annotate_or_one_of_them_alone(tmp_path):
    for name in 'abc':
        draw(tmp_path / 'images' / f'{name}.jpg')
    for name, image, label in (('one', 'a', 'x'), ('one', 'b', 'x'), ('two', 'b', 'y')):
        voc(tmp_path / name / f'{image}.xml', (label, 1, 21, 30, 60))
    faults = Faults()
    source, _ = read_sources([tmp_path / 'one', tmp_path / 'two'], faults, tmp_path / 'images')
    clean(source, faults, lambda items, count: items)
    box = (0, 20, 30, 60)
    assert found(source, tmp_path / 'images') == {
        '': {'a.jpg': [('x', box)], 'b.jpg': [('x', box), ('y', box)], 'c.jpg': []}
    }
    assert places(faults, 'guesses') == [f'{tmp_path}/images/c.jpg']


def test_a_folder_of_the_command_itself_is_named_where_there_is_nothing_else(tmp_path, read):
    for name in PREPARED:
        write(tmp_path / 'old' / name, '')
    with pytest.raises(
        InputError, match=r'no annotations found.*old was written by prepare_dataset\.py: name that folder itself'
    ):
        read()


def test_names_of_a_list_without_annotations_are_told(tmp_path, read):
    draw(tmp_path / 'JPEGImages' / 'a.jpg')
    voc(tmp_path / 'Annotations' / 'a.xml', ('x', 1, 21, 30, 60))
    write(tmp_path / 'ImageSets' / 'Main' / 'train.txt', 'a\nlost\n')
    assert places(read()[1]) == [f'{tmp_path}: lost (train)']


@pytest.mark.parametrize(
    ('name', 'image'),
    [
        ('images/a.jpg', 'a.jpg'),
        ('images\\a.jpg', 'set/images/a.jpg'),
        ('/content/images/a.jpg', 'images/a.jpg'),
        ('C:\\me\\images\\a.jpg', 'images/a.jpg'),
        ('/data/local-files/?d=images%2Fa.jpg', 'images/a.jpg'),
        ('http://host/images/a.jpg?signature=1%2F2', 'images/a.jpg'),
        ('a', 'images/a.jpg'),
        ('./images/../images/a.jpg', 'images/a.jpg'),
        ('Images/a.jpg', 'images/a.jpg'),
    ],
)
def test_paths_that_agree_at_their_end(name, image, tmp_path, read):
    draw(tmp_path / image)
    entries(tmp_path, name)
    source, faults = read()
    assert found(source, tmp_path) == {'': {image: [('a', BOX)]}} and not done(faults)


@pytest.mark.parametrize(
    ('name', 'image'),
    [
        (unicodedata.normalize('NFC', 'é.jpg'), unicodedata.normalize('NFD', 'é.jpg')),
        ('IMG_1.jpg', 'img_1.JPG'),
        ('a.png', 'a.jpg'),
        ('/else/where/a.jpg', 'images/a.jpg'),
    ],
)
def test_images_of_another_spelling_are_found_and_told(name, image, tmp_path, read):
    draw(tmp_path / image)
    entries(tmp_path, name)
    source, faults = read()
    assert found(source, tmp_path) == {'': {image: [('a', BOX)]}}
    assert [(done, count) for _, done, count in done(faults)] == [('kept', 1)]
    assert f'a.json: images[0]: {name}' in places(faults)[0] and image in places(faults)[0]


def test_an_image_of_another_folder_is_no_replacement(tmp_path, read):
    for name in ('cam1/1.jpg', 'cam1/2.jpg', 'cam2/1.jpg'):
        draw(tmp_path / name)
    entries(tmp_path, 'cam1/1.jpg', 'cam2/1.jpg', 'cam2/2.jpg', '1.jpg')
    source, faults = read()
    assert sorted(found(source, tmp_path)['']) == ['cam1/1.jpg', 'cam2/1.jpg']
    assert names(places(faults), tmp_path) == ['a.json', 'a.json', 'cam1/2.jpg']
    assert sum('images[2]' in place or 'images[3]' in place for place in places(faults)) == 2


def test_one_image_is_not_two_of_different_folders(tmp_path, read):
    draw(tmp_path / '1.jpg')
    entries(tmp_path, 'cam1/1.jpg', 'cam2/1.jpg')
    source, faults = read()
    assert len(source.splits[''][0].objects) == 1
    assert [place.split(': ')[1] for place in places(faults)] == ['images[1]']


def test_entries_of_one_image_are_joined(tmp_path, read):
    draw(tmp_path / 'a.jpg')
    entries(tmp_path, 'a.jpg', 'a.jpg', 'a.jpg')
    content = json.loads((tmp_path / 'a.json').read_text())
    content['annotations'][1]['bbox'] = [1, 2, 3, 4]
    content['images'][2]['width'] = 90
    (tmp_path / 'a.json').write_text(json.dumps(content))
    source, faults = read()
    assert found(source, tmp_path) == {'': {'a.jpg': [('a', BOX), ('a', (1, 2, 4, 6))]}}
    joined, other_size = sorted(places(faults), key=lambda place: '90 x 80' in place)
    assert joined == f'{tmp_path}/a.jpg: {tmp_path}/a.json: images[1]' and 'images[2]' in other_size


def test_coco_itself_has_captions_and_key_points(tmp_path, read):
    for split in ('train', 'val'):
        draw(tmp_path / f'{split}2017' / f'{split}.jpg')
        for task in ('instances', 'person_keypoints', 'captions'):
            path = tmp_path / 'annotations' / f'{task}_{split}2017.json'
            coco(path, [(f'{split}.jpg', 100, 80)], [GOOD], ['a'])
            if task == 'captions':
                content = json.loads(path.read_text())
                del content['categories']
                content['annotations'] = [dict(id=1, image_id=0, caption='a')]
                path.write_text(json.dumps(content))
    expected = {split: {f'{split}2017/{split}.jpg': [('a', BOX)]} for split in ('train', 'val')}
    for name in ('', 'annotations'):
        source, faults = read(name)
        assert found(source, tmp_path) == expected and not done(faults) and len(places(faults, 'notes')) == 4
    source, _ = read('annotations/instances_val2017.json')
    assert found(source, tmp_path) == {'val': expected['val']}


def test_names_that_are_no_utf_8(tmp_path, read):
    for name in ('a', 'b'):
        draw(tmp_path / f'{name}.jpg')
        write(tmp_path / f'{name}.txt')
    for suffix in (b'.jpg', b'.txt'):
        os.rename(tmp_path / f'b{suffix.decode()}', os.fsencode(tmp_path) + b'/caf\xe9' + suffix)
    (tmp_path / 'classes.txt').write_bytes(b'\x1b[31mred\xe9\n')
    source, faults = read()
    assert [sample.path.name for sample in source.splits['']] == ['a.jpg']
    assert source.classes == ['\\x1b[31mred\\udce9']
    assert any('caf' in place for place in places(faults)) and len(places(faults)) == 2


def test_text_of_windows_programs(tmp_path, read):
    draw(tmp_path / 'a.jpg')
    (tmp_path / 'a.txt').write_bytes(LINE.encode('utf-16'))
    (tmp_path / 'classes.txt').write_bytes('katze ü\r\n'.encode('utf-8-sig'))
    assert found(read()[0], tmp_path) == {'': {'a.jpg': [('katze ü', BOX)]}}


def test_only_the_images_folder_counts_where_it_is_given(tmp_path, read):
    entries(tmp_path / 'labels', 'a.jpg')
    for name in ('a.jpg', 'b.jpg'):
        draw(tmp_path / 'elsewhere' / name)
    write(tmp_path / 'elsewhere' / 'data.yaml', 'names: [other]\ntrain: .\nval: .\n')  # annotations are of the source
    source, faults = read('labels', images=tmp_path / 'elsewhere')
    assert source.format.startswith('COCO') and not places(faults, 'notes')
    assert names(places(faults), tmp_path) == ['elsewhere/b.jpg']
    shutil.rmtree(tmp_path / 'elsewhere')
    (tmp_path / 'elsewhere').mkdir()
    with pytest.raises(InputError, match='--pictures'):
        read('labels', images=tmp_path / 'elsewhere')


def test_boxes_outside_of_objects_and_images_of_another_split_are_faults(tmp_path, read):
    voc(tmp_path / 'voc' / 'a.xml', ('a', 11, 21, 30, 60), ('a', 1, 1, 30, 40))
    draw(tmp_path / 'voc' / 'a.jpg')
    path = tmp_path / 'voc' / 'a.xml'
    path.write_text(path.read_text().replace('object>', 'objects>', 2))
    source, faults = read('voc')
    assert len(source.splits[''][0].objects) == 1 and names(places(faults), tmp_path) == ['voc/a.xml']
    for split, folder in (('train', 'train'), ('val', 'train/val')):
        draw(tmp_path / 'moved' / folder / f'{split}.jpg')
        labelme(tmp_path / 'moved' / 'train' / f'{split}.json', ('a', 'rectangle', [[10, 20], [30, 60]]))
    _, faults = read('moved')
    assert names(places(faults), tmp_path) == ['moved/train/val.json']
