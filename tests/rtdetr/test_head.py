"""Predictions of the head: how many, in which precision, where in the image."""

import pytest
import torch
from mmdet.structures.bbox import bbox_xyxy_to_cxcywh
from torch.testing import assert_close

from mmspartan.rtdetr.matching import denoising_pairs
from tests.conftest import build_model
from tests.rtdetr.test_golden import CONFIG


def build_head(num_classes: int, max_per_img: int | None):
    test_cfg = None if max_per_img is None else dict(max_per_img=max_per_img)
    return build_model({**CONFIG['bbox_head'], 'num_classes': num_classes, 'test_cfg': test_cfg})


def predict(head, logits: torch.Tensor, boxes: torch.Tensor, rescale: bool = True, **meta):
    """Predictions of one image from logits ``(Q, num_classes)`` and boxes (x1, y1, x2, y2) in [0, 1]."""
    meta = {'img_shape': (96, 128), 'ori_shape': (96, 128), 'scale_factor': (1.0, 1.0), **meta}
    (found,) = head.predict_by_feat(logits[None, None], bbox_xyxy_to_cxcywh(boxes)[None, None], [meta], rescale)
    return found


@pytest.mark.parametrize(
    ('num_classes', 'max_per_img', 'expected'),
    [(1, 300, 20), (1, 20, 20), (1, 7, 7), (3, 300, 60), (3, 60, 60), (3, None, 20)],
)
def test_there_are_as_many_detections_as_asked_for_or_as_there_are(num_classes, max_per_img, expected):
    torch.manual_seed(0)
    logits, boxes = torch.randn(20, num_classes), torch.rand(20, 4).sort().values
    found = predict(build_head(num_classes, max_per_img), logits, boxes)
    assert found.bboxes.shape == (expected, 4) and len(found.scores) == len(found.labels) == expected
    scores, pairs = logits.sigmoid().flatten().sort(descending=True)
    assert_close(found.scores, scores[:expected])
    assert torch.equal(found.labels, pairs[:expected] % num_classes)
    scale = torch.tensor([128.0, 96.0, 128.0, 96.0])
    assert_close(found.bboxes, boxes[pairs[:expected] // num_classes] * scale, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ('dtype', 'expected'),
    [
        (torch.float64, torch.float64),
        (torch.float32, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float16, torch.float32),
    ],
)
def test_predictions_are_of_a_precision_that_numpy_has(dtype, expected):
    logits, boxes = torch.randn(5, 2).to(dtype), torch.rand(5, 4).sort().values.to(dtype)
    found = predict(build_head(2, 10), logits, boxes)
    assert found.bboxes.dtype == found.scores.dtype == expected and found.labels.dtype == torch.int64
    assert found.bboxes.numpy().shape == (10, 4) and found.scores.numpy().shape == (10,)


def test_boxes_of_a_padded_and_resized_image_are_in_pixels_of_the_original():
    # an image of 100 x 333, resized to 64 x 213 and padded to 96 x 224
    meta = dict(img_shape=(64, 213), batch_input_shape=(96, 224), ori_shape=(100, 333), scale_factor=(213 / 333, 0.64))
    pixels = torch.tensor([[21.3, 6.4, 106.5, 32.0], [0.0, 0.0, 224.0, 96.0], [213.0, 0.0, 224.0, 96.0]])
    boxes, logits = pixels / torch.tensor([224.0, 96.0, 224.0, 96.0]), torch.tensor([[2.0], [1.0], [0.0]])
    head = build_head(1, 3)
    expected = torch.tensor([[33.3, 10.0, 166.5, 50.0], [0.0, 0.0, 333.0, 100.0], [333.0, 0.0, 333.0, 100.0]])
    assert_close(predict(head, logits, boxes, **meta).bboxes, expected, rtol=0, atol=1e-3)
    resized = torch.tensor([[21.3, 6.4, 106.5, 32.0], [0.0, 0.0, 213.0, 64.0], [213.0, 0.0, 213.0, 64.0]])
    assert_close(predict(head, logits, boxes, rescale=False, **meta).bboxes, resized, rtol=0, atol=1e-3)


def test_no_box_is_outside_of_its_image_by_rounding():
    head, logits, boxes = build_head(1, 1), torch.zeros(1, 1), torch.tensor([[-0.5, -0.5, 1.5, 1.5]])
    for width in range(320, 400):
        resized = round(width * 0.64)
        meta = dict(img_shape=(64, resized), ori_shape=(100, width), scale_factor=(resized / width, 0.64))
        (box,) = predict(head, logits, boxes, batch_input_shape=(96, 288), **meta).bboxes.tolist()
        assert box[:2] == [0, 0] and width - 1e-3 < box[2] <= width and 100 - 1e-3 < box[3] <= 100


def test_denoising_queries_stand_for_the_objects_that_take_part():
    # two groups of two positives and two negatives, images of 3, 0 and 1 objects
    meta = dict(num_denoising_queries=8, num_denoising_groups=2)
    image, query, obj = denoising_pairs([3, 0, 1], meta)
    assert image.tolist() == [0, 0, 0, 0, 2, 2]
    assert query.tolist() == [0, 1, 4, 5, 0, 4]
    assert obj.tolist() == [0, 1, 0, 1, 3, 3]
