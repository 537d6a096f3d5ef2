"""CopyBlend of a batch: pixels, boxes and labels against a computation by hand; what is left out; arguments."""

import random
from unittest.mock import Mock

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch.testing import assert_close

from mmspartan.rtdetr import BatchCopyBlend, BatchMixUp
from mmspartan.rtdetr.copy_blend import sides


def batch(*boxes, shapes=((64, 96), (64, 96))):
    """Two images of 64 x 96 with different pixels, and the boxes of each with labels from 0 and from 10."""
    samples = []
    for i, rows in enumerate(boxes):
        sample = DetDataSample(metainfo=dict(img_shape=shapes[i], pad_shape=shapes[i]))
        bboxes, labels = torch.tensor(rows).view(-1, 4), torch.arange(len(rows)) + 10 * i
        sample.gt_instances = InstanceData(bboxes=bboxes, labels=labels)
        samples.append(sample)
    return torch.arange(2 * 3 * 64 * 96.0).view(2, 3, 64, 96), samples


def test_an_object_is_blended_with_its_margin_and_has_the_box_without_it(monkeypatch):
    images, samples = batch([[10.4, 20.6, 30.9, 40.1]], [])
    monkeypatch.setattr(random, 'randint', Mock(side_effect=[70, 5, 2, 30]))  # x and y in each image
    augment = BatchCopyBlend(prob=1.0, ratio=(0.4, 0.4), margin=(0.2, 0.2))
    blended, found = augment(images, samples)
    expected = images.clone()  # the object is 20 x 20 pixels with a margin of 4, which ends where an image ends
    patch = images[0, :, 16:44, 6:34]
    expected[0, :, 1:29, 66:94] = 0.4 * images[0, :, 1:29, 66:94] + 0.6 * patch
    expected[1, :, 26:54, 0:26] = 0.4 * images[1, :, 26:54, 0:26] + 0.6 * patch[:, :, 2:]
    assert_close(blended, expected)
    assert_close(found[0].gt_instances.bboxes, torch.tensor([[10.4, 20.6, 30.9, 40.1], [70, 5, 90, 25]]))
    assert found[1].gt_instances.bboxes.tolist() == [[2, 30, 22, 50]]
    assert [sample.gt_instances.labels.tolist() for sample in found] == [[0, 0], [0]]
    assert [len(sample.gt_instances) for sample in samples] == [1, 0]


def test_margins_end_where_one_of_the_images_ends():
    assert sides(0.25, (3, 23, 96), (70, 92)) == (slice(0, 25), slice(67, 92))
    assert sides(0.25, (40, 60, 62), (1, 96)) == (slice(39, 62), slice(0, 23))


def test_padding_is_not_blended(monkeypatch):
    monkeypatch.setattr(random, 'randint', Mock(return_value=0))
    images, samples = batch([], [[30.0, 12.0, 60.0, 40.0]], shapes=((64, 96), (32, 48)))
    blended, found = BatchCopyBlend(prob=1.0, ratio=(0.0, 0.0), margin=(0.2, 0.2))(images, samples)
    assert found[0].gt_instances.bboxes.tolist() == [[0, 0, 18, 20]]  # without what is padding
    assert torch.equal(blended[0, :, :20, :18], images[1, :, 12:32, 30:48])
    assert torch.equal(blended[0, :, 20:], images[0, :, 20:]) and torch.equal(
        blended[0, :, :, 18:], images[0, :, :, 18:]
    )


def test_small_objects_are_left_out_and_large_ones_where_they_do_not_fit():
    random.seed(0)
    boxes = [[0.0, 0.0, 9.0, 11.0], [0.0, 0.0, 40.0, 60.0], [5.0, 5.0, 20.0, 20.0], [-5.0, -5.0, 15.0, 15.0]]
    augment = BatchCopyBlend(prob=1.0, num_objects=10)
    for _ in range(20):
        blended, found = augment(*batch(boxes, [[10.0, 5.0, 40.0, 30.0]], shapes=((64, 96), (32, 48))))
        assert found[0].gt_instances.labels[4:].sort().values.tolist() == [1, 2, 3, 10]
        assert found[1].gt_instances.labels[1:].sort().values.tolist() == [2, 3, 10]
        added = found[1].gt_instances.bboxes[1:]
        assert (added >= 0).all() and (added[:, 2] <= 48).all() and (added[:, 3] <= 32).all()
        assert blended.isfinite().all()
    for none in ([], boxes[:1]):
        images, samples = batch(none, [])
        blended, found = augment(images, samples)
        assert torch.equal(blended, images) and [len(sample.gt_instances) for sample in found] == [len(none), 0]


def test_batches_are_mixed_or_blended_or_neither():
    augment = BatchMixUp(prob=0.5, otherwise=dict(type='BatchCopyBlend', prob=0.4, num_objects=2))
    random.seed(0)
    counts = []
    for _ in range(300):
        _, found = augment(*batch([[0.0, 0.0, 20.0, 20.0]] * 2, [[0.0, 0.0, 20.0, 20.0]]))
        counts.append(tuple(len(sample.gt_instances) for sample in found))
    shares = {found: counts.count(found) / 300 for found in set(counts)}
    assert shares == pytest.approx({(3, 3): 0.5, (4, 3): 0.2, (2, 1): 0.3}, abs=0.08)
