"""Formats of labelling tools whose objects are shapes, of which the boxes around them are taken."""

import json

import pytest

from mmspartan.errors import InputError
from tests.datasets.prepare.conftest import BOX, done, draw, found, labelme, options, places, voc


def test_labelme(tmp_path, read):
    for name in ('a.jpg', 'empty.jpg', 'broken.jpg', 'renamed.jpg'):
        draw(tmp_path / name)
    labelme(
        tmp_path / 'a.json',
        ('x', 'rectangle', [[30, 60], [10, 20]]),
        ('y', 'polygon', [[10, 20], [30, 25], [12, 60]]),
        ('x', 'circle', [[50, 40], [53, 44]]),
        ('x', 'line', [[10, 20], [30, 60]]),
        ('x', 'rectangle', [['10', 20], [30, 60]]),
        ('', 'rectangle', [[10, 20], [30, 60]]),
        imageData='AAAA',
    )
    labelme(tmp_path / 'renamed.json', ('y', None, [[10, 20], [30, 20], [30, 60]]), imagePath='C:\\set\\gone.jpg')
    (tmp_path / 'broken.json').write_text('{"shapes": [')
    source, faults = read()
    assert found(source, tmp_path) == {
        '': {'a.jpg': [('x', BOX), ('y', BOX), ('x', (45, 35, 55, 45))], 'renamed.jpg': [('y', BOX)], 'empty.jpg': []}
    }
    assert source.classes == ['x', 'y'] and source.format == 'labelme'
    assert [place.partition(' no JSON')[0].removeprefix(f'{tmp_path}/') for place in places(faults)] == [
        'a.json: object 4',
        'a.json: object 5',
        'a.json: object 6',
        'broken.jpg',
        'broken.json:',
    ]
    assert places(faults, 'notes') == [f'{tmp_path}/renamed.json: C:\\set\\gone.jpg']
    assert places(faults, 'guesses') == [f'{tmp_path}/empty.jpg']


def test_labelme_file_that_names_another_image_is_that_of_the_image_beside_it(tmp_path, read):
    decomposed = 'a\u0308'
    for name, named in {'a': 'a', 'b': 'a', decomposed: '\u00e4'}.items():
        draw(tmp_path / f'{name}.jpg')
        labelme(tmp_path / f'{name}.json', ('x', 'rectangle', [[30, 60], [10, 20]]), imagePath=f'{named}.jpg')
    source, faults = read()
    assert found(source, tmp_path) == {'': {f'{name}.jpg': [('x', BOX)] for name in ('a', 'b', decomposed)}}
    spelled, copied = places(faults)
    assert copied == f'{tmp_path}/b.json: a.jpg' and spelled.startswith(f'{tmp_path}/{decomposed}.json: \u00e4.jpg, ')


def test_images_without_an_annotation_file(tmp_path, read):
    for name in ('a.jpg', 'unlabelled.jpg'):
        draw(tmp_path / name)
    (tmp_path / 'empty.jpg').write_bytes(b'')
    labelme(tmp_path / 'a.json', (7, 'rectangle', [[30, 60], [10, 20]]))
    for choice in (None, 'empty', 'skip'):
        source, faults = read(unlabelled=choice)
        unlabelled = {} if choice == 'skip' else {'unlabelled.jpg': []}
        assert found(source, tmp_path) == {'': {'a.jpg': [('7', BOX)], **unlabelled}}
        assert places(faults, 'notes' if choice else 'guesses') == [f'{tmp_path}/unlabelled.jpg']
        assert not places(faults, 'guesses' if choice else 'notes')
        assert places(faults) == [f'{tmp_path}/a.json: object 1', f'{tmp_path}/empty.jpg']


def test_supervisely(tmp_path, read):
    draw(tmp_path / 'train' / 'img' / 'a.jpg')
    shapes = [('rectangle', [[10, 20], [30, 60]]), ('polygon', [[1, 2], [3, 4], [1, 4]]), ('bitmap', [])]
    content = dict(
        size=dict(width=100, height=80),
        objects=[dict(classTitle='x', geometryType=kind, points=dict(exterior=points)) for kind, points in shapes],
    )
    (tmp_path / 'train' / 'ann').mkdir()
    (tmp_path / 'train' / 'ann' / 'a.jpg.json').write_text(json.dumps(content))
    (tmp_path / 'meta.json').write_text('{"classes": []}')
    source, faults = read()
    assert found(source, tmp_path) == {'train': {'train/img/a.jpg': [('x', BOX), ('x', (1, 2, 3, 4))]}}
    assert places(faults) == [f'{tmp_path}/train/ann/a.jpg.json: object 3']


@pytest.mark.parametrize('is_project', [True, False])
def test_via(is_project, tmp_path, read):
    shapes = [
        dict(name='rect', x=10, y=20, width=20, height=40),
        dict(name='polygon', all_points_x=[10, 30, 12], all_points_y=[20, 25, 60]),
        dict(name='circle', cx=50, cy=40, r=5),
        dict(name='ellipse', cx=50, cy=40, rx=5, ry=10),
        dict(name='point', cx=1, cy=1),
        dict(name='polygon', all_points_x=[10, 30], all_points_y=[20]),
    ]
    values = ['x', {'y': True}, 'x', 'x', 'x', 'x']
    regions = [
        dict(shape_attributes=shape, region_attributes={'kind': value, **({'color': 'red'} if i else {})})
        for i, (shape, value) in enumerate(zip(shapes, values))
    ]
    images = {
        'a.jpg123': dict(filename='a.jpg', regions=regions),
        'b.jpg1': dict(filename='b.jpg', regions={}),
        'gone.jpg1': dict(filename='gone.jpg', regions=[]),
    }
    for name in ('a.jpg', 'b.jpg', 'unlisted.jpg'):
        draw(tmp_path / name)
    content = dict(_via_settings={}, _via_img_metadata=images) if is_project else images
    (tmp_path / 'via.json').write_text(json.dumps(content))
    source, faults = read()
    assert found(source, tmp_path) == {
        '': {'a.jpg': [('x', BOX), ('y', BOX), ('x', (45, 35, 55, 45)), ('x', (45, 30, 55, 50))], 'b.jpg': []}
    }
    assert [place.removeprefix(f'{tmp_path}/').partition('jpg: gone')[0] for place in places(faults)] == [
        'unlisted.jpg',
        'via.json: a.jpg123: object 5',
        'via.json: a.jpg123: object 6',
        'via.json: gone.jpg1: gone.jpg',
    ]
    assert options(faults) == ['--attribute']
    assert not options(read(attribute='kind')[1])
    with pytest.raises(InputError, match='--attribute: no region has size; there are kind, color'):
        read(attribute='size')


CVAT = """<annotations><version>1.1</version><meta><task><labels>
<label><name>y</name></label><label><name>x</name></label></labels></task></meta>
<image id="0" name="a.jpg" subset="Train" width="100" height="80">
<box label="x" xtl="10" ytl="20" xbr="30" ybr="60"/>
<polygon label="y" points="10,20;30,25;12,60"/>
<ellipse label="x" cx="50" cy="40" rx="5" ry="10"/>
<mask label="x" rle="0" left="10" top="20" width="20" height="40"/>
<box label="y" xtl="40" ytl="30" xbr="60" ybr="40" rotation="90"/>
<polyline label="x" points="10,20;30,60"/>
<box label="x" xtl="left" ytl="20" xbr="30" ybr="60"/>
<box label=" " xtl="10" ytl="20" xbr="30" ybr="60"/>
</image><image id="1" name="b.jpg" subset="Train" width="100" height="80"/></annotations>"""


def test_cvat(tmp_path, read):
    for name in 'ab':
        draw(tmp_path / 'images' / f'{name}.jpg')
    (tmp_path / 'annotations.xml').write_text(CVAT)
    source, faults = read()
    objects = [('x', BOX), ('y', BOX), ('x', (45, 30, 55, 50)), ('y', (45, 25, 55, 45))]
    assert found(source, tmp_path) == {'train': {'images/a.jpg': objects, 'images/b.jpg': []}}
    assert source.classes == ['y', 'x']
    # the mask has the box of the first object
    assert [place.rpartition(' ')[2] for place in places(faults)] == ['4', '6', '7', '8']
    (tmp_path / 'annotations.xml').write_text(CVAT[:-30])
    with pytest.raises(InputError, match=r'annotations\.xml'):
        read()


def test_label_studio(tmp_path, read):
    for name in ('a.jpg', 'b.jpg', 'none.jpg'):
        draw(tmp_path / name)

    def shape(kind: str, to_name: str = 'image', **value) -> dict:
        labels = {kind: ['x']}
        return dict(type=kind, to_name=to_name, original_width=100, original_height=80, value={**value, **labels})

    result = [
        shape('rectanglelabels', x=10, y=25, width=20, height=50, rotation=0),
        shape('polygonlabels', points=[[1, 5], [3, 5], [3, 10]]),
        shape('ellipselabels', x=50, y=50, radiusX=5, radiusY=10),
        shape('rectanglelabels', x=50, y=50, width=20, height=10, rotation=90),
        shape('keypointlabels', x=50, y=50),
        dict(type='choices', value=dict(choices=['good'])),
    ]
    tasks = [
        dict(data=dict(text='a.png', image='/data/upload/1/12cd34ab-a.jpg'), annotations=[dict(result=result)]),
        dict(data=dict(image='/data/local-files/?d=b.jpg'), annotations=[dict(result=[]), dict(result=result)]),
        dict(data=dict(image='none.jpg'), annotations=[dict(result=result, was_cancelled=True)]),
        dict(id=9, data={}, annotations=[]),
        dict(data=7, annotations=[]),
    ]
    (tmp_path / 'export.json').write_text(json.dumps(tasks))
    source, faults = read()
    assert found(source, tmp_path) == {
        '': {'a.jpg': [('x', BOX), ('x', (1, 4, 3, 8)), ('x', (45, 32, 55, 48)), ('x', (42, 40, 50, 60))], 'b.jpg': []}
    }
    found_places = [place.removeprefix(f'{tmp_path}/') for place in places(faults)]
    expected = ['0: object 5', '0: object 6', '1', '2: none.jpg', '4', '9: None']
    assert [place for place in found_places if place.startswith('export.json: task') and ': /' not in place] == [
        f'export.json: task {place}' for place in expected
    ]
    assert 'none.jpg' in found_places and len(found_places) == 8  # and the upload of another name
    assert {('task was skipped', 'dropped', 1), ('task has no annotation', 'dropped', 1)} < done(faults)


def test_encoded_folders_tell_images_of_one_name(tmp_path, read):
    tasks = []
    for i, folder in enumerate(('CAM 1', 'CAM 2')):
        draw(tmp_path / 'images' / folder / 'a.jpg', seed=i)
        name = f'/data/local-files/?d=set/images/CAM%20{i + 1}/a.jpg'
        tasks.append(dict(data=dict(image=name), annotations=[dict(result=[])]))
    (tmp_path / 'export').mkdir()
    (tmp_path / 'export' / 'export.json').write_text(json.dumps(tasks))
    for images in (tmp_path, tmp_path / 'images'):
        source, _ = read('export', images=images)
        assert found(source, tmp_path) == {'': {'images/CAM 1/a.jpg': [], 'images/CAM 2/a.jpg': []}}


def test_annotations_of_another_format_beside_are_told(tmp_path, read):
    draw(tmp_path / 'a.jpg')
    voc(tmp_path / 'a.xml', ('x', 1, 21, 30, 60))
    labelme(tmp_path / 'a.json', ('x', 'rectangle', [[30, 60], [10, 20]]))
    source, faults = read()
    assert source.format == 'Pascal VOC' and places(faults) == [f'{tmp_path}/a.json: labelme']
    assert {measure for _, measure, _ in done(faults)} == {'dropped'}
    assert read('a.json')[0].format == 'labelme'
