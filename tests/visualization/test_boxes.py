"""Detections of one object are one box, and colors of classes are told from each other and from grass."""

import colorsys

import numpy as np
import pytest

from mmspartan.visualization.boxes import class_color, contrasting, strongest_boxes


@pytest.mark.parametrize(
    ('boxes', 'scores', 'strongest'),
    [
        ([[0, 0, 10, 10], [0, 0, 10, 10], [20, 0, 30, 10]], [0.4, 0.9, 0.5], [1, 2]),
        ([[0, 0, 100, 100], [0, 0, 100, 71]], [0.9, 0.5], [0]),  # IoU 0.71
        ([[0, 0, 100, 100], [0, 0, 100, 69]], [0.9, 0.5], [0, 1]),
        ([[5, 5, 5, 5], [5, 5, 5, 5], [6, 6, 6, 6]], [0.1, 0.2, 0.3], [2, 1]),  # without an area
        ([[0, 0, np.nan, 10], [0, 0, 10, 10]], [0.9, 0.5], [0, 1]),
        (np.zeros((0, 4)), [], []),
    ],
)
def test_strongest_box_of_each_object_remains(boxes, scores, strongest):
    assert strongest_boxes(np.array(boxes), np.array(scores)) == strongest


def test_colors_differ_and_are_not_green():
    colors = [class_color(label) for label in range(24)]
    assert len(set(colors)) == 24
    for red, green, blue in colors:
        assert not 70 < 360 * colorsys.rgb_to_hls(red / 255, green / 255, blue / 255)[0] < 180
    for label in range(23):
        assert np.abs(np.subtract(colors[label], colors[label + 1])).sum() > 150
    assert (contrasting((255, 255, 0)), contrasting((0, 0, 255))) == ((0, 0, 0), (255, 255, 255))
