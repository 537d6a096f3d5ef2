"""Confused classes, errors by image and differences of two models in hand-made cases."""

import numpy as np
import pytest

from mmspartan.evaluation.report.matching import coco_of
from mmspartan.evaluation.report.operating_point import OperatingPoint, differences, errors_by_image, worst_first
from tests.evaluation.report.conftest import a_detection, an_object

CLASSES = {1: 'a', 2: 'b', 3: 'c'}
OBJECTS = [an_object(1, 1, 0), an_object(1, 2, 60), an_object(2, 2, 0), an_object(3, 3, 0)]
FOUND = [
    a_detection(1, 1, 0, 0.9),  # right
    a_detection(1, 1, 8, 0.8),  # the same once more, far enough to be drawn
    a_detection(1, 3, 60, 0.7),  # b taken for c
    a_detection(2, 2, 30, 0.6),  # too far away
    a_detection(3, 3, 0, 0.2),  # below the threshold
]


@pytest.fixture
def truth(make_truth):
    return make_truth(CLASSES, OBJECTS)


def point_of(truth, found: list[dict]) -> OperatingPoint:
    return OperatingPoint.of(truth, coco_of(truth.coco, found), [0.5] * 3, 0.5)


def test_confusion_matrix(truth):
    point = point_of(truth, FOUND)
    expected = [[1, 0, 0, 0], [0, 0, 1, 1], [0, 0, 0, 1], [1, 1, 0, 0]]
    np.testing.assert_array_equal(point.confusion, expected)
    assert point.confusion[:-1].sum() == len(OBJECTS) and point.confusion[:, :-1].sum() == len(point.detections.anns)


def test_a_detection_of_the_right_class_comes_before_a_surer_one_of_another(truth):
    found = [a_detection(1, 3, 68, 0.95), a_detection(1, 2, 60, 0.6)]
    confusion = point_of(truth, found).confusion
    assert confusion[1, 1] == 1 and confusion[3, 2] == 1 and not confusion[1, 2]


def test_errors_by_image(truth):
    errors = point_of(truth, FOUND).errors(truth)
    assert errors == {1: (1, 2), 2: (1, 1), 3: (1, 0)}
    assert worst_first(errors, 2) == [1, 2] and worst_first({1: (0, 2), 2: (1, 1), 3: (2, 0)}, 9) == [3, 2, 1]


def test_no_detections_are_missed_objects(truth):
    point = point_of(truth, [])
    assert point.errors(truth) == {1: (2, 0), 2: (1, 0), 3: (1, 0)} and point.confusion[:, -1].sum() == 4


def test_differences_of_two_models(truth):
    first = point_of(truth, FOUND)
    same = differences(truth, first, first, 0.5)
    assert same.right == {i: i for i in first.detections.anns} and not same.false + same.missed
    second = point_of(truth, [a_detection(1, 1, 0, 0.9), a_detection(1, 1, 8, 0.8), a_detection(3, 2, 50, 0.9)])
    found = differences(truth, first, second, 0.5)
    assert [first.detections.anns[i]['bbox'][0] for i in found.false] == [30, 60]  # b comes before c
    assert [second.detections.anns[i]['bbox'][0] for i in found.missed] == [50]
    errors = errors_by_image(second.detections, first.detections, found)
    assert errors == {1: (0, 1), 2: (0, 1), 3: (1, 0)}
