"""``CropFirst`` has the results of mmdet's ``Expand`` and ``MinIoURandomCrop``, bit by bit."""

import copy

import numpy as np
import pytest
import torch
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks
from mmengine.registry import TRANSFORMS

EXPAND = dict(type='mmdet.Expand', mean=[0, 0, 0], ratio_range=(1, 4), prob=0.5)
CROP = dict(type='RandomApply', transforms=[dict(type='mmdet.MinIoURandomCrop')], prob=0.8)


def build(*transforms: dict, first: bool = False):
    return TRANSFORMS.build(dict(type='CropFirst' if first else 'Compose', transforms=list(transforms)))


def sample(seed: int, objects: int, dtype: type = np.uint8) -> dict:
    rng = np.random.default_rng(seed)
    height, width = rng.integers(20, 80, 2)
    first = rng.uniform(0, (width - 5, height - 5), (objects, 2))
    last = np.minimum(first + rng.uniform(1, (width, height), (objects, 2)), (width, height))
    return dict(
        img=rng.integers(0, 256, (height, width, 3)).astype(dtype),
        img_shape=(height, width),
        gt_bboxes=HorizontalBoxes(np.concatenate([first, last], 1).astype(np.float32)),
        gt_bboxes_labels=np.arange(objects),
        gt_ignore_flags=rng.random(objects) < 0.2,
    )


def assert_same(plain, crop_first, data: dict, seed: int) -> dict:
    np.random.seed(seed)
    expected, then = plain(copy.deepcopy(data)), np.random.rand()
    np.random.seed(seed)
    found = crop_first(copy.deepcopy(data))
    assert np.random.rand() == then  # as many random numbers are drawn
    assert found.keys() == expected.keys() and found['img'].dtype == expected['img'].dtype
    for key in data.keys() - {'gt_bboxes', 'gt_masks'}:
        np.testing.assert_array_equal(found[key], expected[key], key)
    assert type(found['gt_bboxes']) is HorizontalBoxes
    assert torch.equal(found['gt_bboxes'].tensor, expected['gt_bboxes'].tensor)
    return found


def test_same_random_numbers_have_the_same_result():
    plain, crop_first = build(EXPAND, CROP), build(EXPAND, CROP, first=True)
    shapes = set()
    for seed in range(160):
        data = sample(seed, objects=seed % 4, dtype=np.uint8 if seed % 3 else np.float32)
        found = assert_same(plain, crop_first, data, seed)
        shapes.add(tuple(np.sign(np.subtract(found['img_shape'], data['img_shape']))))
    assert {(1, 1), (0, 0), (-1, -1)} <= shapes  # larger, left as it was, and smaller


@pytest.mark.parametrize(
    ('expand', 'crop'),
    [
        (dict(EXPAND, mean=[1, 2, 3], prob=1), CROP),
        (EXPAND, dict(CROP, transforms=[dict(CROP['transforms'][0], bbox_clip_border=False, min_ious=(0.5,))])),
    ],
    ids=['color', 'borders'],
)
def test_options_of_the_two_transforms(expand, crop):
    plain, crop_first = build(expand, crop), build(expand, crop, first=True)
    for seed in range(20):
        assert_same(plain, crop_first, sample(seed, objects=2), seed)


def test_masks_are_cropped_too():
    plain, crop_first = build(EXPAND, CROP), build(EXPAND, CROP, first=True)
    for seed in range(10):
        data = sample(seed, objects=1)
        height, width = data['img_shape']
        data['gt_masks'] = BitmapMasks(np.ones((1, height, width), np.uint8), height, width)
        found = assert_same(plain, crop_first, data, seed)
        assert found['gt_masks'].masks.shape[1:] == found['img_shape']


@pytest.mark.parametrize(
    'transforms', [[EXPAND], [CROP, EXPAND], [EXPAND, dict(CROP, transforms=[EXPAND])], [EXPAND, EXPAND, CROP]]
)
def test_other_transforms_are_an_error(transforms):
    with pytest.raises(ValueError, match='transforms must be Expand and RandomApply of MinIoURandomCrop, got'):
        build(*transforms, first=True)
