"""The report of a hand-made dataset: a page for any class names and numbers, and files that are checked."""

import csv
import json
import os
import re

import cv2
import pytest

from mmspartan.errors import InputError
from mmspartan.evaluation.report import figures
from mmspartan.evaluation.report.drawing import RIGHT, ImageDrawer, Panel
from mmspartan.evaluation.report.figures import as_text
from mmspartan.evaluation.report.folder import open_folder
from mmspartan.evaluation.report.ground_truth import GroundTruth, select_split
from mmspartan.evaluation.report.predictions import read_predictions, require_source
from mmspartan.evaluation.report.report import Report, write_report
from mmspartan.evaluation.report.tables import shown, signed, terminal_table, write_csv
from tests.evaluation.report.conftest import a_detection, an_object, config_of, write_dataset

STRANGE = {
    1: '<b>&"bold"</b>',
    2: '猫と犬\x1b[31m',
    3: r'$\frac{1}$ costs',
    4: 'two  words\nand a line that is much too long',
}


@pytest.fixture
def report_on(make_truth, tmp_path):
    """Returns the page and the numbers of a report."""

    def run(classes, objects, found, other=None, **options):
        truth = make_truth(classes, objects)
        folder = open_folder(tmp_path / 'report')
        reports = [Report.of(truth, f'{i}.pth', each) for i, each in enumerate([found, other]) if each is not None]
        metrics = write_report(folder, truth, *reports, config='mine.py', **options)
        assert metrics == json.loads((folder / 'metrics.json').read_text())
        assert terminal_table(metrics).replace('\n', '').isprintable()
        return (folder / 'report.html').read_text(), metrics

    return run


def test_page_is_complete_in_itself(report_on, tmp_path):
    objects = [an_object(1, 1, 0), an_object(2, 2, 60)]
    page, metrics = report_on({1: 'a', 2: 'b'}, objects, [a_detection(1, 1, 0, 0.9), a_detection(3, 1, 0, 0.95)])
    sources = re.findall(r'(?:src|href)="([^"]{1,20})', page)
    assert sources and all(source.startswith(('data:image/', '#')) for source in sources)
    text = re.sub(r'base64,[^"]*', '', page)
    assert not re.search(r'<script|://|\bnan\b|\bNone\b', text, re.IGNORECASE)
    assert [(entry['image_id'], entry['missed'], entry['false']) for entry in metrics['worst']] == [
        (2, 1, 0),
        (3, 0, 1),
    ]
    drawn = cv2.imread(str(tmp_path / 'report' / 'pictures' / 'worst_01.png'))
    assert drawn.shape[0] >= 480 and drawn.shape[1] > 2 * drawn.shape[0]  # objects and detections, enlarged
    assert page.count('data:image/jpeg') == 2 and page.count('data:image/png') == 3


def test_names_of_any_characters(report_on, tmp_path):
    objects = [an_object(1, 1, 0), an_object(1, 2, 60), an_object(2, 3, 0)]
    found = [a_detection(1, 1, 60, 0.9), a_detection(2, 3, 0, 0.9), a_detection(2, 4, 50, 0.9)]
    page, metrics = report_on(STRANGE, objects, found)
    assert '<b>&' not in page and '&lt;b&gt;&amp;&#34;bold&#34;&lt;/b&gt;' in page and '猫と犬' in page
    with open(tmp_path / 'report' / 'classes.csv', newline='', encoding='utf-8') as file:
        rows = list(csv.DictReader(file))
    assert [row['name'] for row in rows] == [*STRANGE.values(), 'all']
    assert rows[3]['AP'] == '' and float(rows[2]['AP']) == pytest.approx(1)
    assert [row['name'] for row in metrics['classes']] == list(STRANGE.values())


def test_names_in_figures_are_no_formulas():
    assert as_text(STRANGE[3], 3) == r'\$\frac{1}\$ costs'


def test_weaker_classes_of_an_object_are_neither_drawn_nor_errors(make_truth):
    """As in drawings, whose best threshold this decides; AP counts them."""
    truth = make_truth({1: 'a', 2: 'b'}, [an_object(1, 1, 0), an_object(1, 1, 60)])
    found = [a_detection(1, 2, 0, 0.4), a_detection(1, 1, 0, 0.9), a_detection(1, 1, 60, 0.8)]
    report = Report.of(truth, 'm', found, score_thr=0.3)
    point, total = report.point, report.statistics.total
    assert (total['threshold'], total['precision'], total['recall'], total['objects']) == (0.8, 1, 1, 2)
    assert report.detections == 3 and point.errors(truth) == {}
    drawer = ImageDrawer(truth, [], [])
    drawn = drawer._detections(1, Panel.of_errors(point))
    assert drawn.label_names == ['a 0.90', 'a 0.80'] and drawn.labels.tolist() == [RIGHT, RIGHT]


def test_no_name_is_a_formula_of_a_spreadsheet(tmp_path):
    names = ['=cmd|x', '+1', '-1', '@a', 'a=b']
    write_csv(tmp_path / 'classes.csv', [dict(name=name, difference=-0.5) for name in names])
    lines = (tmp_path / 'classes.csv').read_text().splitlines()[1:]
    assert lines == [*(f"'{name},-0.5" for name in names[:4]), 'a=b,-0.5']


@pytest.mark.parametrize(('number', 'in_figures'), [(1, 80), (41, 80), (5, 3)])
def test_any_number_of_classes(number, in_figures, report_on, monkeypatch):
    monkeypatch.setattr(figures, 'MAX_CLASSES', in_figures)
    classes = {i: f'class {i}' for i in range(1, number + 1)}
    page, metrics = report_on(classes, [an_object(1, number, 0)], [a_detection(1, number, 0, 0.5)], worst=0)
    assert page.count('<tr>') >= number and len(metrics['confusion']) == number + 1
    assert metrics['total']['AP'] == pytest.approx(1) and 'No image has a missed object' in page


def test_no_detections_at_all(report_on):
    page, metrics = report_on({1: 'a'}, [an_object(1, 1, 0)], [])
    assert 'found nothing at all' in page and metrics['total']['AP'] == 0 and metrics['detections'] == 0


def test_crowd_regions_are_drawn_and_explained(report_on):
    objects = [an_object(1, 1, 0), an_object(1, 1, 60, iscrowd=1)]
    page, metrics = report_on({1: 'a'}, objects, [a_detection(1, 1, 60, 0.9), a_detection(1, 1, 120, 0.8)])
    assert metrics['crowd_regions'] == 1 and 'crowd regions' in page
    assert metrics['worst'][0]['missed'] == 1


def test_comparison(report_on, tmp_path):
    objects = [an_object(1, 1, 0), an_object(2, 2, 60)]
    found, other = [a_detection(1, 1, 0, 0.9)], [a_detection(1, 1, 0, 0.9), a_detection(2, 2, 60, 0.9)]
    page, metrics = report_on({1: 'a', 2: 'b', 3: 'c'}, objects, found, other)
    compared = metrics['compared']
    assert (metrics['total']['AP'], compared['total']['AP']) == pytest.approx((0.5, 1))
    assert [(entry['image_id'], entry['only_other'], entry['only_this']) for entry in compared['differing']] == [
        (2, 1, 0)
    ]
    assert '-0.500' in page and '+0.000' in page and 'differing_01' not in page
    drawn = cv2.imread(str(tmp_path / 'report' / 'pictures' / 'differing_01.png'))
    assert drawn.shape[1] > 3 * drawn.shape[0]
    page, _ = report_on({1: 'a', 2: 'b', 3: 'c'}, objects, found, found)
    assert 'In 0 of 3 images' in page and not (tmp_path / 'report' / 'pictures' / 'differing_01.png').exists()


def test_an_image_that_cannot_be_read_is_named_instead_of_drawn(make_truth, tmp_path):
    truth = make_truth({1: 'a'}, [an_object(1, 1, 0), an_object(2, 1, 0)])
    (tmp_path / '1.png').write_bytes(b'')
    metrics = write_report(open_folder(tmp_path / 'report'), truth, Report.of(truth, 'm', []), config='mine.py')
    first, second = metrics['worst']
    assert first['problem'].endswith('1.png: is empty') and second['file'] == 'pictures/worst_02.png'
    assert first['problem'] in (tmp_path / 'report' / 'report.html').read_text()


def test_numbers_are_shown_with_three_decimals_or_a_dash():
    assert [shown(value) for value in (None, 0.12345, 12)] == ['–', '0.123', '12']  # noqa: RUF001
    assert [signed(value) for value in (None, -0.0001, 0.5)] == ['–', '+0.000', '+0.500']  # noqa: RUF001


def test_only_reports_are_written_over(tmp_path):
    folder = tmp_path / 'holiday'
    folder.mkdir()
    (folder / 'photo.png').touch()
    with pytest.raises(InputError, match='holds files and is no report'):
        open_folder(folder)
    (folder / 'metrics.json').write_text('[]')
    with pytest.raises(InputError, match='holds files and is no report'):
        open_folder(folder)
    with pytest.raises(InputError, match='is a file'):
        open_folder(folder / 'photo.png')
    new = open_folder(tmp_path / 'new' / 'report')
    (new / 'notes.txt').touch()
    assert open_folder(new) == new and (new / 'notes.txt').exists()


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('{', 'not JSON'),
        ('{}', 'must be a list of predictions'),
        ('[1]', r'\[0\]\.bbox: is missing'),
        ('[{"image_id": 1, "category_id": 1, "score": 1}]', r'\[0\]\.bbox: is missing'),
        ('[{"image_id": 9, "category_id": 1, "bbox": [0, 0, 1, 1], "score": 1}]', r'\.image_id: 9 is none of '),
        ('[{"image_id": 1, "category_id": 9, "bbox": [0, 0, 1, 1], "score": 1}]', r'\.category_id: 9 is none of'),
        ('[{"image_id": [], "category_id": 9, "bbox": [0, 0, 1, 1], "score": 1}]', r'\.image_id: \[\] is none of'),
        ('[{"image_id": 1, "category_id": 1, "bbox": [0, 0, NaN, 1], "score": 1}]', 'five finite numbers'),
        ('[{"image_id": 1, "category_id": 1, "bbox": [0, 0, 1], "score": 1}]', 'five finite numbers'),
        ('[{"image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1], "score": "1"}]', 'five finite numbers'),
        (f'[{{"image_id": 1, "category_id": 1, "bbox": [0, 0, 1, -{10**400}], "score": 1}}]', 'five finite numbers'),
        ('[{"image_id": 1, "category_id": 1, "bbox": [10, 10, -40, 40], "score": 1}]', r'\[0\]\.bbox: .*-40'),
        ('[{"image_id": 1, "category_id": 1, "bbox": [150, 150, 190, 190], "score": 1}]', r'\[0\]\.bbox: .*200 x 200'),
        (
            '[{"image_id": 1, "category_id": 1, "bbox": [0.1, 0.1, 0.2, 0.2], "score": 1}]',
            r'\[0, 1\], must be in pixels',
        ),
        ('[{"image_id": 1, "category_id": 1, "bbox": [10, 10, 40, 40], "score": 87}]', r'\[0\]\.score: is 87'),
    ],
)
def test_invalid_predictions_are_named(content, message, make_truth, tmp_path):
    truth, path = make_truth({1: 'a'}, [an_object(1, 1, 0)]), tmp_path / 'found.json'
    path.write_text(content)
    with pytest.raises(InputError, match=rf'found\.json: .*{message}|found\.json: {message}'):
        read_predictions(path, truth)


def test_one_limit_of_detections_for_all_and_for_each_class(tmp_path):
    objects = [
        dict(an_object(1, 1, 12.0 * (i % 15), 10), bbox=[12.0 * (i % 15), 12.0 * (i // 15), 10, 10]) for i in range(150)
    ]
    found = [dict(a, score=0.9 - i / 1000) for i, a in enumerate(objects)]
    write_dataset(tmp_path, {1: 'a'}, objects)
    for limits, expected in ((None, 67 / 101), ([1, 10, 300], 1)):  # COCO's 100 of 150, or the last one
        cfg = config_of(tmp_path, {1: 'a'})
        if limits:
            cfg.test_evaluator.proposal_nums = limits
        truth = GroundTruth.of_config(cfg)
        statistics = Report.of(truth, 'm', found).statistics
        assert statistics.total['AP'] == statistics.classes[0]['AP'] == pytest.approx(expected, abs=1e-6)
        assert statistics.total['AP50'] == statistics.classes[0]['AP50'] == pytest.approx(expected, abs=1e-6)
        assert ('150' in truth.note) if limits is None else truth.note is None


def test_config_has_to_be_of_a_detector_with_objects(tmp_path):
    write_dataset(tmp_path, {1: 'a', 2: 'b'}, [an_object(1, 1, 0)])
    with pytest.raises(InputError, match="no category is called \\['c'\\]"):
        GroundTruth.of_config(config_of(tmp_path, {1: 'c'}))
    with pytest.raises(InputError, match='has no annotations of b to compare with'):
        GroundTruth.of_config(config_of(tmp_path, {2: 'b'}))
    cfg = config_of(tmp_path, {1: 'a'})
    with pytest.raises(InputError, match='has no val_dataloader; --split test'):
        select_split(cfg, 'val')
    for split in ('val', 'test'):
        cfg[f'{split}_dataloader'] = dict(
            dataset=dict(cfg.test_dataloader.dataset, metainfo=dict(classes=[{'val': 'a', 'test': 'b'}[split]]))
        )
    with pytest.raises(InputError, match='--split val'):
        GroundTruth.of_config(cfg)
    cfg.test_evaluator.proposal_nums = (300,)
    cfg.test_dataloader.dataset.metainfo.classes = ['a']
    with pytest.raises(InputError, match=r'proposal_nums is .*300'):
        GroundTruth.of_config(cfg)
    cfg.test_dataloader.dataset.type = 'CustomDataset'
    with pytest.raises(InputError, match='type is CustomDataset, must be a dataset in COCO format'):
        GroundTruth.of_config(cfg)
    cfg.model = dict(head=dict())
    with pytest.raises(InputError, match='not a detector, and this report is for detectors'):
        GroundTruth.of_config(cfg)


def test_predictions_are_files_or_reports(tmp_path):
    os.mkfifo(tmp_path / 'pipe.json')  # reading it would wait forever
    for name in ('pipe.json', 'gone.json', '.'):
        with pytest.raises(InputError, match=re.escape(str(tmp_path / name))):
            require_source(str(tmp_path / name))
