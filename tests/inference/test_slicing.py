"""Parts of large images: where they lie, which detections they cut, and that small objects are found by them."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData

from mmspartan.errors import InputError
from mmspartan.inference import CheckedDetInferencer, SlicingDetInferencer
from mmspartan.inference.slicing import is_cut, slices, without_pieces
from tests.conftest import DATA


@pytest.mark.parametrize(('height', 'width'), [(300, 500), (100, 700), (128, 128), (50, 60)])
def test_parts_cover_the_image_and_the_last_is_the_whole(height, width):
    *parts, whole = slices(height, width, 128, 0.25)
    assert whole == [0, 0, width, height] and whole not in parts
    covered = np.zeros((height, width), bool)
    for left, top, right, bottom in [*parts, whole][: max(len(parts), 1)]:
        assert 0 <= left < right <= width and 0 <= top < bottom <= height
        assert right - left == min(128, width) or not parts
        covered[top:bottom, left:right] = True
    assert covered.all() and (len(parts) == 0) == (max(height, width) <= 128)


def test_boxes_at_inner_borders_are_cut():
    boxes = torch.tensor([[0, 20, 30, 40], [20, 0, 40, 30], [70, 20, 100, 40], [20, 70, 40, 100], [20, 20, 40, 40.0]])
    assert is_cut(boxes, [0, 0, 100, 100], (100, 100)).tolist() == [False] * 5  # the image's borders
    assert is_cut(boxes, [0, 0, 100, 100], (200, 200)).tolist() == [False, False, True, True, False]
    assert is_cut(boxes, [100, 100, 200, 200], (200, 200)).tolist() == [True, True, False, False, False]
    assert is_cut(boxes[:0], [0, 0, 100, 100], (200, 200)).tolist() == []


def test_pieces_of_complete_detections_are_left_out():
    found = InstanceData(
        bboxes=torch.tensor([[0, 0, 40, 20], [0, 0, 15, 20], [0, 0, 15, 20], [50, 0, 70, 20.0]]),
        labels=torch.tensor([1, 1, 2, 1]),
        scores=torch.tensor([0.6, 0.9, 0.7, 0.8]),
        is_cut=torch.tensor([False, True, True, True]),
    )
    kept = without_pieces(found)
    assert kept.scores.tolist() == pytest.approx([0.8, 0.7, 0.6]) and 'is_cut' not in kept
    assert len(without_pieces(found[found.is_cut])) == 3 and len(without_pieces(found[:0])) == 0


def inferencer_of(kind: type, checkpoint: Path, **options) -> CheckedDetInferencer:
    return kind(str(DATA / 'rtdetr_quick.py'), str(checkpoint), device='cpu', show_progress=False, **options)


def find_bright_squares(self, inputs, data_samples, mode='predict'):
    """What a detector of white squares of at least 16 pixels in its input would find."""
    for image, sample in zip(inputs['inputs'] if isinstance(inputs, dict) else inputs, data_samples):
        mask = (image.mean(0) > 0.9 * image.max().clamp(min=1e-3)).numpy().astype(np.uint8)
        _, _, stats, _ = cv2.connectedComponentsWithStats(mask)
        boxes = [[x, y, x + w, y + h] for x, y, w, h, _ in stats[1:] if min(w, h) >= 16]
        boxes = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4) / torch.tensor(sample.scale_factor).repeat(2)
        labels = torch.full((len(boxes),), 3)
        sample.pred_instances = InstanceData(bboxes=boxes, labels=labels, scores=torch.full((len(boxes),), 0.8))
    return list(data_samples)


def test_small_objects_are_found_in_parts_and_large_ones_in_the_whole(checkpoint, tmp_path, monkeypatch):
    """By a model that resizes its input to 64 x 64, in an image of 256 x 256."""
    truth = np.array([[30, 30, 50, 50], [120, 50, 140, 70], [20, 120, 140, 240], [200, 180, 220, 200]])
    image = np.zeros((256, 256, 3), np.uint8)
    for left, top, right, bottom in truth:
        image[top:bottom, left:right] = 255
    cv2.imwrite(str(tmp_path / 'large.png'), image)
    found = {}
    for kind, options in ((CheckedDetInferencer, {}), (SlicingDetInferencer, dict(slice_size=64, overlap=0.4))):
        inferencer = inferencer_of(kind, checkpoint, **options)
        monkeypatch.setattr(type(inferencer.model), 'forward', find_bright_squares)
        (found[kind],) = inferencer(str(tmp_path / 'large.png'), batch_size=4)['predictions']
    assert len(found[CheckedDetInferencer]['bboxes']) == 1  # the large one
    boxes = np.array(found[SlicingDetInferencer]['bboxes'])
    for box in truth:
        assert np.abs(boxes - box).max(1).min() <= 4
    assert set(found[SlicingDetInferencer]['names']) == {'3'}


def test_large_images_are_read_where_slices_are_for_them(tmp_path, monkeypatch):
    monkeypatch.setattr(CheckedDetInferencer, 'max_pixels', 1000)
    cv2.imwrite(str(tmp_path / 'large.png'), np.zeros((40, 50, 3), np.uint8))
    assert SlicingDetInferencer.__new__(SlicingDetInferencer).read(tmp_path / 'large.png').shape == (40, 50, 3)
    with pytest.raises(InputError, match=r'large\.png: has 50 x 40 pixels'):
        CheckedDetInferencer.__new__(CheckedDetInferencer).read(tmp_path / 'large.png')


def test_nothing_found_in_any_part(checkpoint, monkeypatch):
    inferencer = inferencer_of(SlicingDetInferencer, checkpoint, slice_size=64)
    monkeypatch.setattr(type(inferencer.model), 'forward', find_bright_squares)
    (found,) = inferencer(np.zeros((100, 150, 3), np.uint8))['predictions']
    assert found == dict(labels=[], scores=[], bboxes=[], names=[])


@pytest.mark.parametrize('options', [dict(slice_size=0), dict(slice_size=64, overlap=1.0)])
def test_slices_that_are_none_are_refused(options):
    with pytest.raises(InputError, match=r'at least 1, and in \[0, 1\)'):
        SlicingDetInferencer('mine.py', 'mine.pth', **options)
