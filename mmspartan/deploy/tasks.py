"""Tasks whose models can be exported: their inputs, outputs and predictions.

A new task needs a new entry of ``TASKS``.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from mmengine.structures import BaseDataElement, InstanceData, PixelData
from torch import Tensor, nn
from torch.nn.functional import interpolate

from ..errors import InputError
from .graph import ClassifierGraph, DetectorGraph, HeatmapGraph, SegmenterGraph

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Input:
    """An input in addition to the images: a row of numbers for each image."""

    read: Callable[[BaseDataElement], Sequence[float]]  # of a data sample
    example: Sequence[float]  # to trace the graph with


@dataclass(frozen=True)
class Task:
    """A kind of models that can be exported.

    Attributes:
        name: Name in messages.
        models: Names of the models' classes.
        graph: Class of the exported graph, which takes ``images`` and the other inputs in their order.
        outputs: Names of the graph's outputs.
        head: The model's attribute that has ``num_classes``.
        sample: Name of the class of its data samples.
        write: Writes the outputs for one image into its data sample.
        read: Returns the outputs that a data sample with predictions has; None if the model computes more than its
            graph, as MMSegmentation's sliding windows and MMPose's flipped images.
        difference: Returns the largest difference between two results for one image, given the inputs.
        inputs: Inputs in addition to ``images``.
    """

    name: str
    models: tuple[str, ...]
    graph: type[nn.Module]
    outputs: tuple[str, ...]
    head: str
    sample: str
    write: Callable[[Any, dict[str, Tensor]], None]
    read: Callable[[Any], dict[str, Tensor]] | None
    difference: Callable[[Arrays, Arrays, Arrays], float]
    inputs: dict[str, Input] = field(default_factory=dict)

    def example(self, batch_size: int, size: tuple[int, int]) -> dict[str, Tensor]:
        """Return inputs to trace the graph with, for images of ``size`` (height, width)."""
        rows = {name: torch.tensor([input.example] * batch_size) for name, input in self.inputs.items()}
        return {'images': torch.rand(batch_size, 3, *size) * 255, **rows}

    def feed(self, images: Iterable[Tensor], samples: Sequence[BaseDataElement]) -> Arrays:
        """Return the inputs for images ``(3, H, W)`` of one size and their data samples."""
        rows = {
            name: np.array([input.read(sample) for sample in samples], dtype=np.float32)
            for name, input in self.inputs.items()
        }
        return {'images': torch.stack(list(images)).float().numpy(), **rows}


def write_scores(sample: Any, outputs: dict[str, Tensor]) -> None:
    sample.set_pred_score(outputs['scores']).set_pred_label(outputs['scores'].argmax())


def read_scores(sample: Any) -> dict[str, Tensor]:
    return dict(scores=sample.pred_score)


def covered_size(sample: Any) -> tuple[float, float]:
    """Return height and width that the network's input covers, in pixels of the original image.

    They are those of the image, unless the test pipeline pads it.
    """
    if 'scale_factor' not in sample:
        return tuple(sample.ori_shape[:2])
    height, width = sample.img_shape[:2]
    return height / sample.scale_factor[1], width / sample.scale_factor[0]


def write_instances(sample: Any, outputs: dict[str, Tensor]) -> None:
    height, width = sample.ori_shape[:2]
    boxes = outputs['boxes'].minimum(outputs['boxes'].new_tensor([width, height, width, height]))  # not in the padding
    sample.pred_instances = InstanceData(bboxes=boxes, scores=outputs['scores'], labels=outputs['labels'])


def read_instances(sample: Any) -> dict[str, Tensor]:
    found = sample.pred_instances
    return dict(boxes=found.bboxes, scores=found.scores, labels=found.labels)


def write_pixels(sample: Any, outputs: dict[str, Tensor]) -> None:
    labels = outputs['labels'][None, None].float()
    if sample.get('ori_shape'):  # nearest, since labels are no quantities
        labels = interpolate(labels, tuple(sample.ori_shape[:2]))
    sample.set_data({'pred_sem_seg': PixelData(data=labels[0].long())})


def write_keypoints(sample: Any, outputs: dict[str, Tensor]) -> None:
    """Write key points in pixels of the image that the input was cut out of, as MMPose does."""
    center, scale, size = (np.asarray(sample.metainfo[key]) for key in ('input_center', 'input_scale', 'input_size'))
    points = outputs['keypoints'][None].numpy() / size * scale + center - 0.5 * scale
    boxes, scores = sample.gt_instances.bboxes, sample.gt_instances.bbox_scores
    sample.pred_instances = InstanceData(
        keypoints=points, keypoint_scores=outputs['keypoint_scores'][None].numpy(), bboxes=boxes, bbox_scores=scores
    )


def difference_of_scores(found: Arrays, expected: Arrays, inputs: Arrays) -> float:
    return float(np.abs(found['scores'] - expected['scores']).max())


def difference_of_detections(found: Arrays, expected: Arrays, inputs: Arrays) -> float:
    """Return the largest difference of scores, and of boxes relative to the longer side of the image."""
    gaps = -np.diff(expected['scores'], prepend=1, append=0)
    sure = np.minimum(gaps[1:], gaps[:-1]) > 1e-4  # detections with almost the same score may be exchanged
    shifts = np.abs(found['boxes'] - expected['boxes'])[sure] / inputs['sizes'].max()
    # np.max, since Python's max may lose a NaN
    return float(np.max([difference_of_scores(found, expected, inputs), shifts.max(initial=0)]))


def difference_of_pixels(found: Arrays, expected: Arrays, inputs: Arrays) -> float:
    """Return the share of pixels with another label."""
    return float((found['labels'] != expected['labels']).mean())


def difference_of_keypoints(found: Arrays, expected: Arrays, inputs: Arrays) -> float:
    """Return the largest difference of scores, and of points relative to the longer side of the input."""
    shift = np.abs(found['keypoints'] - expected['keypoints']).max() / max(inputs['images'].shape[2:])
    return float(np.max([np.abs(found['keypoint_scores'] - expected['keypoint_scores']).max(), shift]))


TASKS = (
    Task(
        name='classifier',
        models=('ImageClassifier',),
        graph=ClassifierGraph,
        outputs=('scores',),
        head='head',
        sample='DataSample',
        write=write_scores,
        read=read_scores,
        difference=difference_of_scores,
    ),
    Task(
        name='detector',
        models=('RTDETR', 'DFINE', 'DEIMv2'),
        graph=DetectorGraph,
        outputs=('boxes', 'scores', 'labels'),
        head='bbox_head',
        sample='DetDataSample',
        write=write_instances,
        read=read_instances,
        difference=difference_of_detections,
        inputs={'sizes': Input(read=covered_size, example=(480.0, 640.0))},
    ),
    Task(
        name='segmenter',
        models=('EncoderDecoder',),
        graph=SegmenterGraph,
        outputs=('labels',),
        head='decode_head',
        sample='SegDataSample',
        write=write_pixels,
        read=None,
        difference=difference_of_pixels,
    ),
    Task(
        name='pose estimator',
        models=('TopdownPoseEstimator',),
        graph=HeatmapGraph,
        outputs=('keypoints', 'keypoint_scores'),
        head='head',
        sample='PoseDataSample',
        write=write_keypoints,
        read=None,
        difference=difference_of_keypoints,
    ),
)


def task_of_model(model: nn.Module) -> Task:
    """Return the task of a model; raises InputError, which names the models that can be exported, if there is none."""
    for task in TASKS:
        if type(model).__name__ in task.models:
            return task
    models = ' and '.join(name for task in TASKS for name in task.models)
    raise InputError(f'{type(model).__name__} cannot be exported: {models} can')


def build_graph(model: nn.Module) -> nn.Module:
    """Build the graph that is exported for a model, in evaluation mode; raises InputError if there is none."""
    return task_of_model(model).graph(model).eval()


def task_of_outputs(names: Iterable[str]) -> Task | None:
    """Return the task of an exported file by the names of its outputs; None if there is no such task."""
    found = set(names)
    return next((task for task in TASKS if set(task.outputs) == found), None)
