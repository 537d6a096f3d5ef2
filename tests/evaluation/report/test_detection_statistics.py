"""Numbers of hand-made cases, and agreement with the metric that tools/test.py prints."""

import numpy as np
import pytest
import torch
from mmengine.registry import METRICS

from mmspartan.evaluation.report.detection_statistics import DetectionStatistics
from mmspartan.evaluation.report.matching import coco_of
from tests.evaluation.report.conftest import a_detection, an_object


def statistics(truth, found: list[dict]) -> DetectionStatistics:
    return DetectionStatistics.of(truth, coco_of(truth.coco, found))


def test_perfect_detections(make_truth):
    objects = [an_object(1, 1, 0), an_object(2, 1, 50), an_object(2, 2, 0, side=20)]
    found = [a_detection(1, 1, 0, 0.9), a_detection(2, 1, 50, 0.6), a_detection(2, 2, 0, 0.3, side=20)]
    result = statistics(make_truth({1: 'a', 2: 'b'}, objects), found)
    first, second = result.classes
    assert [first['AP'], first['AR'], second['AP50'], result.total['AP75']] == pytest.approx([1] * 4)
    assert (first['objects'], first['pictures'], second['pictures'], result.total['pictures']) == (2, 2, 1, 2)
    assert (first['threshold'], second['threshold'], result.total['threshold']) == (0.6, 0.3, 0.3)
    assert [result.sizes[size]['objects'] for size in ('small', 'medium', 'large')] == [1, 2, 0]
    assert result.sizes['large']['AP'] is None
    np.testing.assert_allclose(result.precisions, 1)


@pytest.mark.parametrize(
    ('scores', 'threshold', 'precision', 'recall'),
    [
        ((0.9, 0.8, 0.7), 0.7, 2 / 3, 1),  # F1 0.8 against 0.67 of the first alone
        ((0.9, 0.9, 0.1), 0.1, 2 / 3, 1),  # the first two cannot be told apart
        ((0.5, 0.9, 0.4), 0.4, 2 / 3, 1),
    ],
)
def test_best_threshold_has_the_highest_f1(scores, threshold, precision, recall, make_truth):
    truth = make_truth({1: 'a'}, [an_object(1, 1, 0), an_object(1, 1, 60)])
    found = [a_detection(1, 1, x, score) for x, score in zip((0, 120, 60), scores)]
    (row,) = statistics(truth, found).classes
    assert [row[key] for key in ('threshold', 'precision', 'recall')] == pytest.approx([threshold, precision, recall])
    assert row['F1'] == pytest.approx(2 * precision * recall / (precision + recall))


@pytest.mark.parametrize('places', [(0, 60, 120), (60, 0, 120), (120, 60, 0)], ids=str)
def test_detections_of_the_same_score_are_kept_or_left_out_together(places, make_truth):
    """Whatever their order in the file: one of three is right."""
    truth = make_truth({1: 'a'}, [an_object(1, 1, 0)])
    result = statistics(truth, [a_detection(1, 1, x, 0.9) for x in places])
    (row,) = result.classes
    assert [row[key] for key in ('threshold', 'precision', 'recall', 'F1')] == pytest.approx([0.9, 1 / 3, 1, 0.5])
    # average precision depends on their order, which is that of the file, as in COCOeval
    assert row['AP'] == pytest.approx(1 / (1 + places.index(0)))


def test_best_threshold_leaves_out_a_tail_of_false_detections(make_truth):
    truth = make_truth({1: 'a'}, [an_object(1, 1, 0)])
    found = [a_detection(1, 1, 0, 0.8)] + [a_detection(2, 1, 10 * i, 0.5 - 0.01 * i) for i in range(5)]
    (row,) = statistics(truth, found).classes
    assert (row['threshold'], row['F1']) == (0.8, 1)


def test_crowd_regions_count_neither_as_found_nor_as_missed(make_truth):
    objects = [an_object(1, 1, 0), an_object(1, 1, 60, side=80, iscrowd=1)]
    found = [a_detection(1, 1, 0, 0.5), a_detection(1, 1, 70, 0.9, side=20), a_detection(1, 1, 100, 0.8, side=20)]
    (row,) = statistics(make_truth({1: 'a'}, objects), found).classes
    assert (row['objects'], row['precision'], row['recall']) == (1, 1, 1) and row['AP'] == pytest.approx(1)


def test_what_is_not_defined_is_none(make_truth):
    result = statistics(make_truth({1: 'a', 2: 'b'}, [an_object(1, 1, 0)]), [a_detection(1, 2, 0, 0.4)])
    found, none = result.classes
    assert (found['AP'], found['AR'], found['threshold']) == (0, 0, None)
    assert (none['AP'], none['AR'], none['threshold'], none['objects']) == (None, None, None, 0)
    assert result.total['AP'] == 0 and np.isnan(result.precisions[:, 1]).all()
    assert result.thresholds() == [0.5, 0.5] and result.thresholds(0.2) == [0.2, 0.2]


def test_classes_without_a_best_threshold_take_the_mean_of_the_others(make_truth):
    truth = make_truth({1: 'a', 2: 'b', 3: 'c'}, [an_object(1, 1, 0), an_object(1, 2, 50)])
    found = [a_detection(1, 1, 0, 0.4), a_detection(1, 2, 50, 0.8)]
    assert statistics(truth, found).thresholds() == pytest.approx([0.4, 0.8, 0.6])


def test_numbers_are_those_of_the_metric(make_truth, tmp_path):
    """With ids of classes that are not sorted in the file, and crowd regions."""
    draw, classes = np.random.default_rng(1), {7: 'a', 2: 'b', 5: 'c'}
    objects = [
        an_object(int(draw.integers(1, 9)), int(draw.choice([7, 2])), draw.uniform(0, 100), draw.uniform(10, 110))
        for _ in range(40)
    ]
    objects[3]['iscrowd'] = objects[9]['iscrowd'] = 1
    truth = make_truth(classes, objects, images=8)
    found = [
        dict(o, score=draw.uniform(), bbox=[side + draw.normal(0, 3) for side in o['bbox']])
        for o in objects + objects[:20]
    ]
    found = [{key: value for key, value in result.items() if key != 'iscrowd'} for result in found]
    metric = METRICS.build(dict(type='CheckedCocoMetric', ann_file=truth.path))
    metric.dataset_meta = dict(classes=truth.classes)
    metric.classwise = True  # refused in a config, since it exchanges the classes
    for image in truth.coco.get_img_ids():
        own = [result for result in found if result['image_id'] == image]
        boxes = torch.tensor([result['bbox'] for result in own], dtype=torch.float64).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        labels = torch.tensor([truth.category_ids.index(result['category_id']) for result in own])
        instances = dict(bboxes=boxes, scores=torch.tensor([result['score'] for result in own]), labels=labels)
        metric.process({}, [dict(img_id=image, ori_shape=(200, 200), pred_instances=instances)])
    expected, result = metric.evaluate(8), statistics(truth, found)
    names = {'AP': 'mAP', 'AP50': 'mAP_50', 'AP75': 'mAP_75'}
    assert 0.1 < result.total['AP'] < 0.9
    for ours, theirs in names.items():
        assert round(result.total[ours], 3) == expected[f'coco/bbox_{theirs}']
    for size, values in result.sizes.items():
        assert round(values['AP'], 3) == expected[f'coco/bbox_mAP_{size[0]}']
    rows = {row['name']: row for row in result.classes}
    assert rows['c']['AP'] is None
    # pycocotools sorts the classes by their ids, mmdet takes them for those of the file
    assert round(rows['b']['AP'], 3) == expected['coco/a_precision']
    assert round(np.mean([rows['a']['AP'], rows['b']['AP']]), 3) == expected['coco/bbox_mAP']
