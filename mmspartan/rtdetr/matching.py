"""What RT-DETR's losses compare: predictions of decoder layers, the objects of a batch, and matched pairs of both."""

from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import torch
from mmdet.structures import SampleList
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy, bbox_overlaps, bbox_xyxy_to_cxcywh
from torch import Tensor

from ..ops.host_numbers import tensor_like


@dataclass(frozen=True)
class Layers:
    """Predictions of decoder layers, in at least float32.

    Attributes:
        names (list[str]): Prefix of each layer's losses.
        logits (Tensor): ``(layers, B, Q, num_classes)``.
        boxes (Tensor): (cx, cy, w, h) in [0, 1], ``(layers, B, Q, 4)``.
        is_denoising (bool): Whether they are of denoising queries.
    """

    names: list[str]
    logits: Tensor
    boxes: Tensor
    is_denoising: bool = field(default=False, kw_only=True)

    def split(self, num_denoising: int) -> tuple['Layers', 'Layers']:
        """Return the predictions of the first queries, which are those of denoising, and of the others."""
        tensors = {name: x for name, x in vars(self).items() if isinstance(x, Tensor)}
        parts = [x.split([num_denoising, x.shape[-2] - num_denoising], dim=-2) for x in tensors.values()]
        denoising, others = (replace(self, **dict(zip(tensors, part))) for part in zip(*parts))
        return replace(denoising, names=[f'{name}dn_' for name in self.names], is_denoising=True), others

    def append(self, name: str, logits: Tensor, boxes: Tensor) -> 'Layers':
        """Return them with a further layer, ``(B, Q, num_classes)`` and ``(B, Q, 4)``."""
        logits, boxes = (
            torch.cat([x, more[None].to(x.dtype)]) for x, more in ((self.logits, logits), (self.boxes, boxes))
        )
        return replace(self, names=[*self.names, name], logits=logits, boxes=boxes)


class Objects(NamedTuple):
    """The objects of a batch.

    Attributes:
        labels (list[Tensor]): ``(n,)`` for each image.
        boxes (list[Tensor]): (cx, cy, w, h) relative to the padded input, ``(n, 4)`` for each image.
        shape (tuple[int, int]): Height and width of the padded input.
    """

    labels: list[Tensor]
    boxes: list[Tensor]
    shape: tuple[int, int]

    @property
    def counts(self) -> list[int]:
        """Number of objects of each image."""
        return [len(label) for label in self.labels]


class Matches(NamedTuple):
    """Matched pairs of all layers, those of the first layer first.

    Attributes:
        layer, image, query (Tensor): Indices of each pair's prediction, ``(M,)``.
        obj (Tensor): Index of each pair's object among all objects of the batch, ``(M,)``.
        counts (list[int]): Number of pairs of each layer.
    """

    layer: Tensor
    image: Tensor
    query: Tensor
    obj: Tensor
    counts: list[int]

    @classmethod
    def of(cls, pairs: list[np.ndarray], device: torch.device) -> 'Matches':
        """Make them of each layer's ``image``, ``query`` and ``obj`` as an array ``(3, m)`` on the host."""
        counts = [pair.shape[1] for pair in pairs]
        indices = np.vstack([np.repeat(np.arange(len(pairs)), counts), np.concatenate(pairs, axis=1)])
        layer, image, query, obj = torch.from_numpy(indices).to(device, non_blocking=True)
        return cls(layer, image, query, obj, counts)

    @property
    def predictions(self) -> tuple[Tensor, Tensor, Tensor]:
        """Index of the pairs' predictions in a tensor ``(layers, B, Q, ...)``."""
        return self.layer, self.image, self.query

    def sums(self, values: Tensor) -> Tensor:
        """Sum values of the pairs, ``(M,)`` or ``(M, 4)``, over each layer."""
        if not sum(self.counts):
            return values.sum().expand(len(self.counts))  # mmdet's losses return a single 0 then
        if len(set(self.counts)) == 1:
            return values.reshape(len(self.counts), -1).sum(1)
        return torch.stack([part.sum() for part in values.split(self.counts)])


class MatchedBoxes(NamedTuple):
    """Boxes of matched pairs.

    Attributes:
        matches (Matches): The pairs.
        predicted, target (Tensor): (cx, cy, w, h) in [0, 1], ``(M, 4)``.
        corners, target_corners (Tensor): (x1, y1, x2, y2) in pixels, since mmdet's overlaps clamp areas at 1e-6.
        ious (Tensor): Overlap of each pair, without gradient, ``(M,)``.
    """

    matches: Matches
    predicted: Tensor
    target: Tensor
    corners: Tensor
    target_corners: Tensor
    ious: Tensor

    @classmethod
    def of(cls, matches: Matches, boxes: Tensor, objects: Objects) -> 'MatchedBoxes':
        """Select them from predictions ``(layers, B, Q, 4)``."""
        predicted = boxes[matches.predictions]
        target = torch.cat(objects.boxes)[matches.obj]
        scale = pixel_scale(boxes, objects.shape)
        corners, target_corners = bbox_cxcywh_to_xyxy(predicted) * scale, bbox_cxcywh_to_xyxy(target) * scale
        ious = bbox_overlaps(corners.detach(), target_corners, is_aligned=True)
        return cls(matches, predicted, target, corners, target_corners, ious)


def ground_truth(batch_data_samples: SampleList, dtype: torch.dtype | None = None) -> Objects:
    """Return the objects of a batch, their boxes in ``dtype`` if it is given."""
    labels, boxes = [], []
    for sample in batch_data_samples:
        corners = sample.gt_instances.bboxes
        labels.append(sample.gt_instances.labels)
        relative = bbox_xyxy_to_cxcywh(corners) / pixel_scale(corners, input_shape(sample.metainfo))
        boxes.append(relative.to(dtype or relative.dtype))
    return Objects(labels, boxes, input_shape(batch_data_samples[0].metainfo))


def input_shape(img_meta: dict) -> tuple[int, int]:
    """Return the height and width of the network's input, including the padding of the batch."""
    return img_meta.get('batch_input_shape', img_meta['img_shape'])


def pixel_scale(boxes: Tensor, shape: tuple[int, int]) -> Tensor:
    """Return (width, height, width, height) of ``shape``, which scales relative boxes to pixels, like ``boxes``."""
    height, width = shape[:2]
    return tensor_like(boxes, [width, height, width, height])


def denoising_counts(counts: list[int], dn_meta: dict[str, int] | None) -> list[int]:
    """Return the number of objects of each image that denoising uses, given the number of all its objects."""
    if not dn_meta:
        return [0] * len(counts)
    most = dn_meta['num_denoising_queries'] // (2 * dn_meta['num_denoising_groups'])
    return [min(count, most) for count in counts]


def denoising_pairs(counts: list[int], dn_meta: dict[str, int]) -> np.ndarray:
    """Match denoising queries to objects: the k-th positive of each group to object k of its image.

    Returns:
        np.ndarray: Image, query and object of each pair, ``(3, m)``.
    """
    groups = dn_meta['num_denoising_groups']
    group_size = dn_meta['num_denoising_queries'] // groups
    pairs: list[tuple[int, int, int]] = []
    before = 0
    for i, (count, taken) in enumerate(zip(counts, denoising_counts(counts, dn_meta))):
        pairs += [(i, group_size * group + k, before + k) for group in range(groups) for k in range(taken)]
        before += count
    return np.array(pairs, dtype=np.int64).reshape(-1, 3).T


def names_of_layers(count: int) -> list[str]:
    """Return the prefixes of the decoder layers' losses, as in mmdet's DINO."""
    return [f'd{i}.' for i in range(count - 1)] + ['']
