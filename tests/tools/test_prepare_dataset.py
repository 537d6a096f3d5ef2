"""Datasets of each format, from the files that people have to a config that trains."""

import base64
import html
import json
import re
import resource
import shlex
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope

from mmspartan.benchmark import training_plan as plan
from tests.conftest import ROOT, last_line, make_parts, run_script
from tests.datasets.prepare.conftest import coco, draw, voc
from tests.docs.scripts import run_here

PREPARE = ROOT / 'tools' / 'prepare_dataset.py'
BASE = ('--base', 'rtdetr_spartan_xt_digits', '--image-size', 128, 96, '--no-plan')


@pytest.fixture(scope='module', params=['coco', 'voc', 'yolo'])
def prepared(request, tmp_path_factory):
    """Folder with a dataset ``source`` of one format, ``mine`` made of it, and what was printed."""
    folder = tmp_path_factory.mktemp(request.param)
    make_parts(folder, 20, 'source', request.param)
    printed = run_here(PREPARE, 'source', '--out', 'data/mine', *BASE, '--weights', __file__, cwd=folder)
    return request.param, folder, printed


def contents(mine: Path) -> dict[str, dict]:
    return {path.stem: json.loads(path.read_text()) for path in mine.glob('*.json')}


def objects(content: dict) -> list[tuple]:
    """Objects of a file as (name of the image, name of the class, box)."""
    pictures = {image['id']: Path(image['file_name']).name for image in content['images']}
    names = {category['id']: category['name'] for category in content['categories']}
    return sorted((pictures[a['image_id']], names[a['category_id']], *a['bbox']) for a in content['annotations'])


def test_all_images_and_objects_are_there(prepared):
    layout, folder, _ = prepared
    found = contents(folder / 'data' / 'mine')
    assert {name: len(content['images']) for name, content in found.items()} == (
        {'train': 16, 'val': 4} if layout == 'voc' else {'train': 14, 'val': 4, 'test': 2}
    )
    for content in found.values():
        for key in ('images', 'annotations', 'categories'):
            assert [entry['id'] for entry in content[key]] == list(range(1, len(content[key]) + 1))
    make_parts(folder, 20, 'again')
    made = [json.loads(path.read_text()) for path in (folder / 'again').rglob('*.json')]
    shutil.rmtree(folder / 'again')
    pairs = zip(*(sorted(found for content in both for found in objects(content)) for both in (found.values(), made)))
    for one, other in pairs:  # all formats hold the same images
        assert one[:2] == other[:2] and one[2:] == pytest.approx(other[2:], abs=0.01)


def test_config_of_at_most_25_lines_builds_its_datasets_from_any_folder(prepared, monkeypatch, tmp_path):
    layout, folder, _ = prepared
    path = folder / 'data' / 'mine' / 'config.py'
    assert len(path.read_text().splitlines()) <= 25
    monkeypatch.chdir(tmp_path)
    cfg = Config.fromfile(path)
    assert cfg.load_from == __file__ and cfg.model.bbox_head.num_classes == 3
    assert cfg.test_dataloader.dataset.ann_file == ('val.json' if layout == 'voc' else 'test.json')
    init_default_scope('mmdet')
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    sample = dataset[0]
    assert sample['inputs'].shape == (3, 96, 128)
    assert dataset.metainfo['classes'] == (('bolt', 'nut', 'washer') if layout == 'voc' else ('washer', 'nut', 'bolt'))


def test_config_has_the_recommended_base_and_size_that_are_printed(tmp_path):
    make_parts(tmp_path, 20, 'source')
    printed = run_here(PREPARE, 'source', '--out', 'mine', '--no-plan', cwd=tmp_path)
    base, width, height, batch = re.search(r'Plan: (\w+), (\d+) x (\d+) pixels, (\d+) images', printed).groups()
    assert 'This base is recommended: ' in printed and '--base chooses another' in printed
    assert f"config_path('{base}')" in (tmp_path / 'mine' / 'config.py').read_text()
    cfg = Config.fromfile(tmp_path / 'mine' / 'config.py')
    [resize] = [step for step in cfg.test_pipeline if step.type == 'Resize']
    assert resize.scale == (int(width), int(height)) and cfg.train_dataloader.batch_size == int(batch)
    given = run_here(PREPARE, 'source', '--out', 'given', *BASE, cwd=tmp_path)
    assert 'Plan: rtdetr_spartan_xt_digits, 128 x 96 pixels' in given and 'recommended' not in given
    assert ' images a batch, from mmspartan://rtdetr_spartan_xt_cifar10\n' in given


def text_of(page: str) -> str:
    """What a reader sees of a page."""
    return html.unescape(re.sub('<[^>]*>', '', page))


def test_report_is_one_page_with_tables_and_twelve_images(prepared):
    _, folder, printed = prepared
    page = (folder / 'data' / 'mine' / 'report.html').read_text()
    sources = re.findall(r'\b(?:src|href)=(.{12})', page)
    assert page.count('<img') == 12 and set(sources) == {'"data:image/'}
    for text in ('washer', 'narrower or lower than 8 pixels at 128 x 96', 'objects an image, most (queries: 40)'):
        assert text in text_of(page) and text in printed
    assert 'Faults: none' in printed and 'tools/train.py data/mine/config.py' in printed


@pytest.fixture
def faulty(tmp_path):
    """A VOC folder with one fault, and a class whose name is code for HTML."""
    for name in 'abcdef':
        draw(tmp_path / 'source' / f'{name}.jpg')
        voc(tmp_path / 'source' / f'{name}.xml', ('&lt;b&gt;', 11, 21, 30, 60), ('dog', 11, 21, 300, 60))
    return tmp_path


def test_faults_are_told_and_strict_refuses_them(faulty):
    printed = run_here(PREPARE, 'source', '--out', 'mine', '--val', 0.34, *BASE, cwd=faulty)
    assert '| box exceeds the image | clipped | 6 ' in re.sub(' +', ' ', printed)
    page = (faulty / 'mine' / 'report.html').read_text()
    assert '<b>' not in page and '<b>' in text_of(page) and 'box exceeds the image' in page
    message = last_line('prepare_dataset.py', 'source', '--out', 'strict', '--strict', *BASE, cwd=faulty)
    assert message.startswith('source: ') and '--strict' in message
    assert not (faulty / 'strict').exists() and not (faulty / 'strict.part').exists()


def test_a_set_without_objects_is_told_with_its_faults(tmp_path):
    draw(tmp_path / 'source' / 'a.jpg')
    voc(tmp_path / 'source' / 'a.xml', ('x', 11, 21, 'right', 60))
    message = last_line('prepare_dataset.py', 'source', '--out', 'mine', *BASE, cwd=tmp_path)
    assert message.startswith('source: Pascal VOC: train has 1 of 1 images') and 'source/a.xml: object 1' in message


def test_a_set_of_crowds_is_refused(tmp_path):
    draw(tmp_path / 'source' / 'a.jpg')
    entry = dict(image_id=0, category_id=1, bbox=[10, 20, 20, 40], iscrowd=1)
    coco(tmp_path / 'source' / 'a.json', [('a.jpg', 100, 80)], [entry], ['a'])
    assert 'crowd' in last_line('prepare_dataset.py', 'source', '--out', 'mine', *BASE, cwd=tmp_path)
    assert not (tmp_path / 'mine').exists()


def hostile(folder: Path, *names: str) -> None:
    """A COCO dataset of eight images with these classes, of which each image has an object."""
    for i in range(8):
        draw(folder / f'{i}.png', seed=i)
    boxes = [
        dict(image_id=i, category_id=k, bbox=[10, 20 + k, 20, 40]) for i in range(8) for k in range(1, len(names) + 1)
    ]
    coco(folder / 'a.json', [(f'{i}.png', 100, 80) for i in range(8)], boxes, list(names))


def test_names_of_a_dataset_are_never_code_nor_templates(tmp_path, monkeypatch):
    source = tmp_path / 'photos\n__import__("pathlib").Path("PWNED").touch()\n# {{ fileDirname }}'
    names = ['{{ fileDirname }}', '{{$HOME:x}}', "{{{_base_.work_dir}}}'", '\\{{fileBasename}}', '"""', '=cmd|x', '猫']
    hostile(source, *names)
    monkeypatch.chdir(tmp_path)
    run_here(PREPARE, source, '--out', 'mine', *BASE, cwd=tmp_path)
    cfg = Config.fromfile('mine/config.py')
    assert not (tmp_path / 'PWNED').exists()
    assert cfg.train_dataloader.dataset.metainfo.classes == tuple(names)
    init_default_scope('mmdet')
    assert DATASETS.build(cfg.train_dataloader.dataset)[0]['data_samples'].gt_instances.labels.tolist() == [*range(7)]


def test_codes_for_terminals_are_not_printed(tmp_path):
    source = tmp_path / '\x1b[31msource'
    hostile(source, '\x1b]0;title\x07red', 'b\rc')
    draw(source / '\x1b[2Junused.png')
    printed = run_here(PREPARE, source, '--out', 'mine', *BASE, cwd=tmp_path)
    assert {char for char in printed if not char.isprintable()} == {'\n'} and '\\x1b[2Junused.png' in printed
    classes = Config.fromfile(tmp_path / 'mine' / 'config.py').train_dataloader.dataset.metainfo.classes
    assert classes == ('\\x1b]0;title\\x07red', 'b c')
    message = last_line('prepare_dataset.py', source, '--out', 'mine2', '--strict', *BASE, cwd=tmp_path)
    assert message.isprintable()


def test_a_folder_of_the_user_is_left_alone(tmp_path):
    hostile(tmp_path / 'source', 'a')
    (tmp_path / 'mine.part').mkdir()
    (tmp_path / 'mine.part' / 'thesis.txt').touch()
    run_here(PREPARE, 'source', '--out', 'mine', *BASE, cwd=tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {'source', 'mine', 'mine.part'}
    assert (tmp_path / 'mine.part' / 'thesis.txt').exists()


def test_thin_images_take_no_memory(tmp_path):
    hostile(tmp_path / 'source', 'a')
    for i in range(8):
        draw(tmp_path / 'source' / f'{i}.png', width=20000, height=1, seed=i)
    content = json.loads((tmp_path / 'source' / 'a.json').read_text())
    for image in content['images']:
        image.update(width=20000, height=1)
    for annotation in content['annotations']:
        annotation['bbox'] = [10, 0, 500, 1]
    (tmp_path / 'source' / 'a.json').write_text(json.dumps(content))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    run_here(PREPARE, 'source', '--out', 'mine', *BASE, cwd=tmp_path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # KiB


def test_images_of_12_bits_are_copied_with_8(tmp_path):
    hostile(tmp_path / 'source', 'a')
    for i in range(8):
        pixels = np.full((80, 100), 4000 + i if i else 60000, np.uint16)
        cv2.imwrite(str(tmp_path / 'source' / f'{i}.png'), pixels)
    printed = run_here(PREPARE, 'source', '--out', 'mine', *BASE, cwd=tmp_path)
    assert '--bits 12 --copy' in printed
    printed = run_here(PREPARE, 'source', '--out', 'copied', '--bits', 12, '--copy', *BASE, cwd=tmp_path)
    assert '16-bit image has values from 4096 on: copied as it is' in printed and 'Guesses: none' in printed
    copies = {path.name: cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in (tmp_path / 'copied').rglob('*.png')}
    assert copies.keys() == {f'{i}.png' for i in range(8)} and copies.pop('0.png').dtype == np.uint16
    assert all(copy.dtype == np.uint8 and copy.min() == 250 for copy in copies.values())
    drawn = re.findall(r'data:image/jpeg;base64,([^"]+)', (tmp_path / 'copied' / 'report.html').read_text())
    images = [cv2.imdecode(np.frombuffer(base64.b64decode(image), np.uint8), 0) for image in drawn]
    assert len(images) > 4 and all(np.median(image) > 200 for image in images)  # of the copies


def test_a_report_of_many_classes_and_faults_is_short(tmp_path):
    hostile(tmp_path / 'source', *(f'class {i}' for i in range(300)))
    for i in range(300):
        (tmp_path / 'source' / f'{i}.xml').write_text('<a>')
    printed = run_here(PREPARE, 'source', '--out', 'mine', *BASE, cwd=tmp_path)
    assert len(printed.splitlines()) < 120
    assert 'class 299' in (tmp_path / 'mine' / 'report.html').read_text() and 'class 299' not in printed


def test_classes_are_chosen_renamed_and_images_copied(faulty):
    options = ('--classes', 'cat', '--rename', 'dog=cat', '--copy')
    printed = run_here(PREPARE, 'source', '--out', 'mine', '--val', 0.34, *BASE, *options, cwd=faulty)
    assert re.search(r'^written to mine: .*, and copies of 6 images, \d of them with other names\.$', printed, re.M)
    found = contents(faulty / 'mine')
    assert [category['name'] for category in found['train']['categories']] == ['cat']
    assert {split: len(content['annotations']) for split, content in found.items()} == {'train': 4, 'val': 2}
    shutil.rmtree(faulty / 'source')
    dataset = Config.fromfile(faulty / 'mine' / 'config.py').train_dataloader.dataset
    init_default_scope('mmdet')
    assert len(list(DATASETS.build(dataset))) == 4


def test_images_are_named_from_the_folder_also_where_data_yaml_has_an_absolute_path(tmp_path, monkeypatch):
    for name in 'ab':
        draw(tmp_path / 'set' / 'images' / f'{name}.jpg')
        (tmp_path / 'set' / 'labels').mkdir(exist_ok=True)
        (tmp_path / 'set' / 'labels' / f'{name}.txt').write_text('0 0.5 0.5 0.5 0.5\n')
    (tmp_path / 'set' / 'data.yaml').write_text(f"path: {tmp_path / 'set'}\ntrain: images\nnames: ['{{x}} 100% 猫']\n")
    out = "it's mine"
    options = ('--strict', '--classes', '{x} 100% 猫')
    printed = run_here(PREPARE, 'set', '--out', out, *options, *BASE, cwd=tmp_path)
    assert f'tools/train.py {shlex.quote(f"{out}/config.py")} --auto-scale-lr' in printed
    (tmp_path / 'moved').mkdir()
    for name in ('set', out):
        (tmp_path / name).rename(tmp_path / 'moved' / name)
    cfg = Config.fromfile(tmp_path / 'moved' / out / 'config.py')
    assert cfg.train_dataloader.batch_size == 1  # no more than there are images
    init_default_scope('mmdet')
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        dataset = DATASETS.build(loader.dataset)
        assert len(list(dataset)) == 1 and dataset.metainfo['classes'] == ('{x} 100% 猫',)


def test_new_images_are_divided_and_known_ones_stay_in_their_split(tmp_path):
    make_parts(tmp_path, 20, 'one', 'voc')
    make_parts(tmp_path, 10, 'two', 'yolo', seed=7)
    options = (*BASE, '--weights', 'best.pth')
    (tmp_path / 'best.pth').touch()
    run_here(PREPARE, 'one', '--out', 'first', *BASE, cwd=tmp_path)
    printed = run_here(
        PREPARE, 'one', 'two', '--out', 'second', '--like', 'first', '--split-by', 'nothing', *options, cwd=tmp_path
    )
    assert 'Divided here: of 10 images that first does not have, 0.2 are for validation' in printed
    before, now = (
        {split: {image['file_name'] for image in content['images']} for split, content in contents(mine).items()}
        for mine in (tmp_path / 'first', tmp_path / 'second')
    )
    for split, images in before.items():
        assert {f'one/{name}' for name in images} == {name for name in now[split] if name.startswith('one/')}
    assert sum(map(len, now.values())) == 30 and any(name.startswith('two/') for name in now['val'])
    cfg = Config.fromfile(tmp_path / 'second' / 'config.py')
    assert Path(cfg.load_from).resolve() == tmp_path / 'best.pth'  # wherever the training is started
    (
        tmp_path / 'one' / contents(tmp_path / 'first')['val']['images'][0]['file_name']
    ).unlink()  # others are known still
    printed = run_here(PREPARE, 'one', '--out', 'fewer', '--like', 'first', *BASE, cwd=tmp_path)
    assert (
        'image of first is not in the source' in printed and len(contents(tmp_path / 'fewer')['train']['images']) == 16
    )
    (tmp_path / 'first' / 'train.json').unlink()
    words = ('one', 'two', '--out', 'third', '--like', 'first', '--split-by', 'nothing', *BASE)
    assert last_line('prepare_dataset.py', *words, cwd=tmp_path).startswith(
        '--like first: was not written by this version of prepare_dataset.py: FileNotFoundError'
    )


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (('gone',), 'gone: no such file or folder'),
        (('source', '--base', 'gone'), "--base gone: mmspartan has no config 'gone'; "),
        (('source', '--base', 'spartan_t_in1k'), '--base: spartan_t_in1k is no detector'),
        (('source', '--weights', 'gone.pth'), '--weights gone.pth: no such file'),
        (('source', '--box-format', 'xy'), '--box-format must be one of xywh, '),
        (('source', '--classes', 'cow'), '--classes: no class is called cow; there are <b>, dog'),
        (('source', '--rename', 'cow=dog'), '--rename: no class is called cow; there are <b>, dog'),
        (('source', '--weights', __file__), '--weights: give the --base of which they are'),
        (('source', '--image-size', 100, 100), '--image-size must be multiples of 32, got 100 x 100'),
        (('source', '--batch-size', 99), '--batch-size 99: there are '),
        (('source', '--batch-size', 0), '--batch-size must be at least 1, got 0'),
        (('source', '--out', 'a"b'), '--out a"b: quotation marks, backslashes and line breaks'),
        (('source', '--out', 'source'), 'source: exists; remove it or give another --out'),
    ],
)
def test_wrong_arguments(options, message, faulty):
    assert last_line('prepare_dataset.py', *('--out', 'mine', *options), cwd=faulty).startswith(message)
    assert not (faulty / 'mine').exists()


# A smaller network, which is trained and exported sooner.
SMALLER = """
_arch = dict(channels=(8, 16, 24, 32), depths=(1, 1, 1, 1), expand_ratios=(2, 2, 2, 2))
model['backbone'] = dict(arch=dict(_delete_=True, **_arch))
model['neck'] = dict(in_channels=[16, 24, 32])
model['decoder'] = dict(num_layers=1)
"""


@pytest.mark.training
def test_from_the_files_to_an_exported_detector(tmp_path, monkeypatch):
    """The commands of docs/own-data.md, on few and small images for an epoch."""
    monkeypatch.setattr(plan, 'LEAST', 0.0)
    make_parts(tmp_path, 40, 'source', 'yolo')
    base = ('--base', 'rtdetr_spartan_xt_digits', '--image-size', 64, 64, '--max-epochs', 1)
    printed = run_here(PREPARE, 'source', '--out', 'data/mine', *base, cwd=tmp_path)
    assert re.search(r'1 epochs of 3 steps on .* with 1 evaluations. Seconds a step: [\d.e-]+ \(1 ', printed)
    config, tools = 'data/mine/config.py', ROOT / 'tools'
    with (tmp_path / config).open('a') as file:
        file.write(SMALLER)
    printed = run_script(tools / 'train.py', config, '--auto-scale-lr', cwd=tmp_path)
    assert 'tools/evaluate.py data/mine/config.py' in printed
    (checkpoint,) = (tmp_path / 'work_dirs' / 'mine').glob('best_coco_bbox_mAP_epoch_1.pth')
    run_here(tools / 'export_onnx.py', config, checkpoint, '--out', 'detector.onnx', cwd=tmp_path)
    for model in (checkpoint, 'detector.onnx'):
        out = f'report_{Path(model).suffix[1:]}'
        printed = run_here(tools / 'evaluate.py', config, model, '--out', out, cwd=tmp_path)
        assert all(name in printed for name in ('washer', 'nut', 'bolt', 'test: test.json'))
        assert (tmp_path / out / 'report.html').is_file()
