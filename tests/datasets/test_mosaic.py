"""Mosaic of four images and affine transform about the center: pixels and boxes by hand."""

import copy
import random

import numpy as np
import pytest
import torch
from mmdet.structures.bbox import HorizontalBoxes
from mmengine.registry import TRANSFORMS

from mmspartan.datasets.centered_affine import CenteredRandomAffine
from mmspartan.datasets.mosaic import GridMosaic
from mmspartan.errors import InputError

SIZES = [(2, 6), (4, 3), (5, 2), (1, 1)]  # height, width


def sample(i: int, boxes: int = 1) -> dict:
    height, width = SIZES[i]
    corners = np.array([[0, 0, width, height]] * boxes, np.float32).reshape(-1, 4)
    return dict(
        img=np.full((height, width, 3), i + 1, np.uint8),
        img_shape=(height, width),
        gt_bboxes=HorizontalBoxes(corners),
        gt_bboxes_labels=np.full(boxes, i),
        gt_ignore_flags=np.full(boxes, i == 1),
    )


class Images(list):
    """A data set of samples that are loaded."""

    def get_data_info(self, i: int) -> dict:
        return copy.deepcopy(self[i])


@pytest.mark.parametrize('empty', [None, 0, 2])
def test_four_images_are_on_a_grid_of_the_largest_sides(empty, monkeypatch):
    dataset = Images(sample(i, boxes=int(i != empty)) for i in range(4))
    numbers = iter((1, 2, 3))
    monkeypatch.setattr(random, 'randrange', lambda stop: next(numbers) * (stop == 4))
    found = GridMosaic(loading=[])(dict(dataset.get_data_info(0), dataset=dataset))
    assert found['img'].shape == (10, 12, 3) and found['img_shape'] == (10, 12)
    expected, boxes, labels = np.zeros((10, 12), np.uint8), [], []
    for i, ((height, width), (top, left)) in enumerate(zip(SIZES, [(0, 0), (0, 6), (5, 0), (5, 6)])):
        expected[top : top + height, left : left + width] = i + 1
        if i != empty:
            boxes.append([left, top, left + width, top + height])
            labels.append(i)
    assert (found['img'] == expected[..., None]).all()
    assert found['gt_bboxes'].tensor.tolist() == boxes
    assert found['gt_bboxes_labels'].tolist() == labels
    assert found['gt_ignore_flags'].tolist() == [label == 1 for label in labels]


def test_other_images_are_any_of_the_dataset():
    dataset, drawn = Images(sample(i) for i in range(4)), set()
    for _ in range(50):
        drawn |= set(GridMosaic([])(dict(dataset.get_data_info(0), dataset=dataset))['gt_bboxes_labels'][1:])
    assert drawn == {0, 1, 2, 3}


def test_dataset_that_gives_no_other_images_is_named():
    with pytest.raises(InputError, match='dataset must be of type MosaicCocoDataset'):
        GridMosaic([])(sample(0))


def test_scaling_and_rotation_keep_the_center():
    image = np.zeros((41, 61, 3), np.uint8)
    image[18:23, 28:33] = 255
    options = dict(max_rotate_degree=90.0, max_translate_ratio=0.0, max_shear_degree=0.0, border_val=(0, 0, 0))
    affine = TRANSFORMS.build(dict(type='CenteredRandomAffine', scaling_ratio_range=(1.0, 1.5), **options))
    for seed in range(20):
        random.seed(seed)
        boxes = HorizontalBoxes(torch.tensor([[28.0, 18.0, 33.0, 23.0]]))
        data = dict(img=image, gt_bboxes=boxes, gt_bboxes_labels=np.zeros(1), gt_ignore_flags=np.zeros(1, bool))
        found = affine(data)
        rows, columns = np.nonzero(found['img'][..., 0] > 127)
        # OpenCV's pixels have their centers at whole numbers, and boxes at halves
        assert rows.mean() == pytest.approx(20, abs=1.5) and columns.mean() == pytest.approx(30, abs=1.5)
        torch.testing.assert_close(found['gt_bboxes'].centers, torch.tensor([[30.5, 20.5]]))
        assert 25 * 0.8 < len(rows) < 25 * 1.5**2 * 1.2


def test_scale_about_the_center_by_hand():
    affine = CenteredRandomAffine(0.0, 0.0, (0.5, 0.5), 0.0, border_val=(7, 7, 7))
    boxes = HorizontalBoxes(torch.tensor([[0.0, 0.0, 40.0, 20.0], [20.0, 5.0, 40.0, 20.0]]))
    image = np.full((20, 40, 3), 9, np.uint8)
    found = affine(dict(img=image, gt_bboxes=boxes, gt_bboxes_labels=np.arange(2), gt_ignore_flags=np.zeros(2, bool)))
    assert found['gt_bboxes'].tensor.tolist() == [[10, 5, 30, 15], [20, 7.5, 30, 15]]
    assert (found['img'][7:13, 12:28] == 9).all() and (found['img'][:4] == 7).all() and (found['img'][:, :9] == 7).all()
