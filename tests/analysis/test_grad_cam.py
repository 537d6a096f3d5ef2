"""Grad-CAM of functions whose maps are known, and of a network whose layers are looked up by stride."""

from types import SimpleNamespace

import matplotlib.axes
import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData
from torch import nn

from mmspartan.analysis.grad_cam import Cam, draw_sheet, grad_cam
from mmspartan.analysis.layers import layers_of_strides
from mmspartan.analysis.subject import Example
from mmspartan.errors import InputError


def example(inputs: torch.Tensor) -> Example:
    image = np.zeros((*inputs.shape[2:], 3), np.uint8)
    return Example('a.png', image, image, inputs, [SimpleNamespace()])


class Linear(nn.Module):
    """Logits that weight the means of two channels; a detector with a score for each of these channels."""

    weights = torch.tensor([[1.0, -2.0], [-1.0, 3.0]])
    boxes = torch.arange(8.0).view(2, 4)

    def __init__(self):
        super().__init__()
        self.features = nn.Conv2d(2, 2, 1, bias=False)
        nn.init.dirac_(self.features.weight)

    def forward(self, inputs, samples, mode):
        means = self.features(inputs).mean((2, 3))
        if mode == 'tensor':
            return means @ self.weights.T
        scores = means[0]
        found = InstanceData(scores=scores, labels=torch.arange(2), bboxes=self.boxes)
        return [SimpleNamespace(pred_instances=found)]


def subject(is_detector: bool) -> SimpleNamespace:
    return SimpleNamespace(model=Linear(), is_detector=is_detector, label=str, name='linear')


def normalized(values: torch.Tensor) -> torch.Tensor:
    values = values.clamp(min=0)
    return (values - values.min()) / (values - values.min()).max()


def test_sheet_begins_with_the_image_of_the_file(tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr(matplotlib.axes.Axes, 'imshow', lambda self, image, **options: shown.append(image))
    one = Example('a.png', np.zeros((40, 60, 3)), np.zeros((32, 32, 3)), torch.zeros(1, 3, 32, 32), [])
    cam = Cam(np.zeros((32, 32)), 'x', np.zeros((0, 4)))
    draw_sheet([subject(True)], [one], [[cam]], tmp_path / 'sheet.jpg')
    assert shown[0] is one.original and shown[1] is one.image and shown[2] is cam.values


@pytest.mark.parametrize('category', [0, 1])
def test_map_of_a_linear_classifier_is_the_weighted_sum_of_its_features(category):
    torch.manual_seed(0)
    inputs = torch.randn(1, 2, 5, 7)
    one = subject(is_detector=False)
    cam = grad_cam(one, example(inputs), [one.model.features], category)
    expected = normalized((Linear.weights[category].view(2, 1, 1) * inputs[0]).sum(0))
    np.testing.assert_allclose(cam.values, expected, atol=1e-5)
    assert cam.title.startswith(f'{category}: ')


def test_default_is_the_class_of_the_highest_logit():
    one = subject(is_detector=False)
    inputs = torch.stack([torch.zeros(4, 4), torch.ones(4, 4)])[None]  # logits -2 and 3
    assert grad_cam(one, example(inputs), [one.model.features]).title == '1: 99%'


@pytest.mark.parametrize(('threshold', 'channels'), [(0.1, [0, 1]), (0.5, [1]), (0.95, [])])
def test_map_of_a_detector_is_of_the_detections_above_the_threshold(threshold, channels):
    torch.manual_seed(0)
    inputs = torch.rand(1, 2, 6, 6)
    inputs *= torch.tensor([0.3, 0.9]).view(1, 2, 1, 1) / inputs.mean((2, 3), keepdim=True)
    one = subject(is_detector=True)
    cam = grad_cam(one, example(inputs), [one.model.features], score_thr=threshold)
    expected = normalized(inputs[0, channels].sum(0)) if channels else torch.zeros(6, 6)
    np.testing.assert_allclose(cam.values, expected, atol=1e-5)
    assert cam.title == f'{len(channels)} detection{"" if len(channels) == 1 else "s"}'
    assert cam.boxes.tolist() == [[[0, 1, 2, 3], [4, 5, 6, 7]][i] for i in channels]


def test_one_box_counts_once_for_its_strongest_class():
    one = subject(is_detector=True)
    one.model.boxes = torch.tensor([[0.0, 1.0, 20.0, 30.0]] * 2)
    inputs = torch.tensor([0.3, 0.9]).view(1, 2, 1, 1).expand(-1, -1, 6, 6)
    cams = [grad_cam(one, example(inputs), [one.model.features], category, 0.1) for category in (None, 0, 1)]
    assert [len(cam.boxes) for cam in cams] == [1, 0, 1]


def test_detections_of_a_class():
    one = subject(is_detector=True)
    cam = grad_cam(one, example(torch.rand(1, 2, 6, 6)), [one.model.features], category=0, score_thr=0.0)
    assert cam.title == '1 detection of 0' and cam.boxes.tolist() == [[0, 1, 2, 3]]


@pytest.mark.parametrize('size', [(64, 96), (100, 70)])
def test_layers_are_the_last_of_their_stride(size, build_spartan):
    backbone = build_spartan(out_indices=(1, 3)).eval()
    one = SimpleNamespace(model=SimpleNamespace(backbone=backbone), name='tiny')
    stages = [blocks[-1] for blocks in backbone.stages]
    sample = example(torch.rand(1, 3, *size))
    assert layers_of_strides(one, sample, [4, 8, 16, 32]) == stages
    assert layers_of_strides(one, sample, [16]) == [stages[2]]
    assert layers_of_strides(one, sample) == [stages[1], stages[3]]  # what the backbone returns
    with pytest.raises(InputError, match=r'--stride 7: tiny has feature maps of the strides \[2, 4, 8, 16, 32'):
        layers_of_strides(one, sample, [7])


def test_parts_of_a_module_that_reduces_a_map_end_no_stage():
    """An inverted residual widens the map before its depthwise convolution reduces it."""
    stem, block = nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.Conv2d(4, 4, 1)
    wide, reducing = nn.Conv2d(4, 8, 1), nn.Conv2d(8, 8, 3, stride=2, padding=1)
    backbone = nn.Sequential(stem, block, nn.Sequential(wide, reducing))
    one = SimpleNamespace(model=SimpleNamespace(backbone=backbone), name='tiny')
    assert layers_of_strides(one, example(torch.rand(1, 3, 32, 32)), [2]) == [block]
    assert layers_of_strides(one, example(torch.rand(1, 3, 32, 32)), [4]) == [backbone]
