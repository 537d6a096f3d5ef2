"""Labels lie in the image and beside the labels of stronger boxes."""

import itertools

from mmspartan.visualization.label_layout import place_labels


def test_labels_of_a_crowd_do_not_overlap():
    boxes = [(x, 50, x + 60, 110) for x in (10, 20, 30, 40)]
    places = place_labels(boxes, [(40, 14)] * 4, (200, 200))
    for first, second in itertools.combinations(places, 2):
        assert min(first[2], second[2]) <= max(first[0], second[0]) or min(first[3], second[3]) <= max(
            first[1], second[1]
        )
    assert places[0] == (10, 36, 50, 50)  # above the strongest box


def test_labels_stay_in_the_image():
    boxes = [(0, 0, 20, 20), (180, 0, 200, 20), (0, 180, 20, 200), (180, 180, 200, 200)]
    for left, top, right, bottom in place_labels(boxes, [(80, 14)] * 4, (200, 200)):
        assert 0 <= left < right <= 200 and 0 <= top < bottom <= 200
    assert place_labels([(0, 0, 5, 5)], [(80, 14)], (10, 10)) == [(0, 0, 80, 14)]
