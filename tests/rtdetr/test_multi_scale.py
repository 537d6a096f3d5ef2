"""Multi-scale batches: sizes that all feature maps fit, each batch's own aspect, boxes that move along."""

from collections import Counter

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.logging import MessageHub
from mmengine.structures import InstanceData
from torch.testing import assert_close

from mmspartan.rtdetr.multi_scale import BatchRandomChoiceResize

BOXES = torch.tensor([[10.0, 20.0, 90.0, 300.0], [0.0, 0.0, 416.0, 416.0]])


def resized(augment, height: int, width: int, iteration: int = 0, img_shape: tuple[int, int] | None = None):
    """A batch of one image, and its sample, after the augmentation."""
    MessageHub.get_current_instance().update_info('iter', iteration)
    shape = (height, width)
    sample = DetDataSample(metainfo=dict(img_shape=img_shape or shape, pad_shape=shape, batch_input_shape=shape))
    sample.gt_instances = InstanceData(bboxes=BOXES.clone(), labels=torch.zeros(2))
    sample.ignored_instances = InstanceData(bboxes=BOXES[:1].clone(), labels=torch.zeros(1))
    inputs, samples = augment(torch.rand(1, 3, height, width), [sample])
    return tuple(inputs.shape[-2:]), samples[0]


@pytest.mark.parametrize(
    ('shape', 'size', 'expected'),
    [
        ((480, 640), 544, (544, 736)),
        ((480, 640), 480, (480, 640)),
        ((640, 416), 640, (640, 416)),
        ((640, 448), 800, (800, 576)),
        ((64, 1024), 96, (96, 1536)),
        ((1024, 32), 64, (64, 32)),  # nearer to 0 than to 32
    ],
)
def test_width_is_the_multiple_of_32_nearest_to_the_aspect(shape, size, expected):
    assert resized(BatchRandomChoiceResize([size]), *shape)[0] == expected


def test_each_batch_keeps_its_own_aspect_whatever_came_before():
    augment = BatchRandomChoiceResize([480, 544, 640, 800])
    shapes = [(480, 640)] * 4 + [(640, 416), (416, 640), (640, 416), (640, 640)]
    for iteration, (height, width) in enumerate(shapes):
        (new_height, new_width), _ = resized(augment, height, width, iteration)
        assert new_height in augment.sizes and new_width % 32 == 0
        assert abs(new_width - new_height * width / height) <= 16


def test_boxes_and_shapes_scale_with_the_images():
    shape, sample = resized(BatchRandomChoiceResize([544]), 480, 640, img_shape=(471, 640))
    scale = torch.tensor([736 / 640, 544 / 480] * 2)
    assert_close(sample.gt_instances.bboxes, BOXES * scale, rtol=0, atol=0)
    assert_close(sample.ignored_instances.bboxes, BOXES[:1] * scale, rtol=0, atol=0)
    assert sample.batch_input_shape == sample.pad_shape == shape == (544, 736)
    assert sample.img_shape == (round(471 * 544 / 480), 736)


def test_size_of_a_batch_depends_on_the_iteration_alone():
    sizes = [64, 96, 128, 128]
    first = [resized(BatchRandomChoiceResize(sizes), 64, 64, i)[0] for i in range(40)]
    torch.manual_seed(1)
    augment = BatchRandomChoiceResize(sizes)
    assert [resized(augment, 64, 64, i)[0] for i in reversed(range(40))][::-1] == first
    drawn = Counter()
    for iteration in range(2000):
        MessageHub.get_current_instance().update_info('iter', iteration)
        drawn[augment.choose(64, 64)[0]] += 1
    assert drawn.keys() == set(sizes)
    assert all(count / 2000 == pytest.approx(sizes.count(size) / 4, abs=0.04) for size, count in drawn.items())


def test_pixels_are_interpolated_or_repeated():
    """Of two columns, black and white, four times as wide: in between there is gray, or there is none."""
    images = torch.tensor([0.0, 1.0]).repeat_interleave(16).expand(1, 3, 32, 32)
    values = {
        name: set(BatchRandomChoiceResize([128], name)(images, [])[0].unique().tolist())
        for name in ('bilinear', 'nearest')
    }
    assert values['nearest'] == {0, 1} and values['bilinear'] > {0, 1}
