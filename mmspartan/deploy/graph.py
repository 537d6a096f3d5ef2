"""Exported graphs of normalization, network and post-processing.

Input ``images`` ``(B, 3, H, W)``: float32, 0 to 255, BGR as the pipeline loads them.
"""

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn
from torch.nn.functional import interpolate

from ..errors import InputError

# How the data preprocessors of MMPretrain, of mmengine with MMDetection and MMPose, and of MMSegmentation call the
# conversion from BGR to RGB.
CHANNEL_CONVERSION = ('to_rgb', '_channel_conversion', 'channel_conversion')


class Normalize(nn.Module):
    """Normalization of images as in the model's data preprocessor."""

    order: Tensor
    mean: Tensor
    std: Tensor

    def __init__(self, data_preprocessor: nn.Module):
        super().__init__()
        flips = (getattr(data_preprocessor, name, False) for name in CHANNEL_CONVERSION)
        # on the model's device, for CUDA graphs
        self.register_buffer('order', torch.tensor([2, 1, 0] if any(flips) else [0, 1, 2]))
        # a data preprocessor that does not normalize has no mean and std
        for name, default in (('mean', torch.zeros(1)), ('std', torch.ones(1))):
            self.register_buffer(name, getattr(data_preprocessor, name, default).view(-1, 1, 1).clone())

    def forward(self, images: Tensor) -> Tensor:
        return (images.index_select(1, self.order) - self.mean) / self.std


class ModelGraph(nn.Module):
    """A model and the normalization before it; subclasses add what comes after it."""

    def __init__(self, model: BaseModel):
        super().__init__()
        self.normalize = Normalize(model.data_preprocessor)
        self.model = model


class ClassifierGraph(ModelGraph):
    """Graph of a classifier: ``images`` to ``scores`` ``(B, classes)``, which sum to 1."""

    def forward(self, images: Tensor) -> Tensor:
        return self.model(self.normalize(images), mode='tensor').softmax(1)


class DetectorGraph(ModelGraph):
    """Graph of a detector: ``images`` and ``sizes`` ``(B, 2)``, float32 (height, width) of the original images.

    Of an image that is padded, at the right and below, ``sizes`` are those that the padded one has in pixels of the
    original image, and boxes may reach into the padding. Returns ``boxes`` ``(B, K, 4)``, (x1, y1, x2, y2) in pixels
    of the original image, ``scores`` ``(B, K)`` in descending order and ``labels`` ``(B, K)``. K is ``max_per_img``, at
    most the number of pairs of query and class.
    """

    def forward(self, images: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        model = self.model
        logits, boxes = model(self.normalize(images), mode='tensor')
        num_classes = logits.shape[-1]
        # as mmdet's DETR heads: the best pairs of query and class
        scores = logits[-1].sigmoid().flatten(1)
        count = (model.test_cfg or {}).get('max_per_img', logits.shape[2])
        scores, pairs = scores.topk(min(count, scores.shape[1]), dim=1)
        boxes = boxes[-1].gather(1, (pairs // num_classes)[..., None].expand(-1, -1, 4))
        centers, extents = boxes.split(2, dim=-1)
        corners = torch.cat([centers - extents / 2, centers + extents / 2], -1).clamp(0, 1)
        return corners * sizes.flip(1).repeat(1, 2)[:, None], scores, pairs % num_classes


class SegmenterGraph(ModelGraph):
    """Graph of MMSegmentation's ``EncoderDecoder``: ``images`` to ``labels`` of all pixels, int64 ``(B, H, W)``."""

    def forward(self, images: Tensor) -> Tensor:
        logits = self.model(self.normalize(images), mode='tensor')
        logits = interpolate(logits, images.shape[2:], mode='bilinear', align_corners=self.model.align_corners)
        if logits.shape[1] == 1:
            return (logits[:, 0].sigmoid() > self.model.decode_head.threshold).long()
        return logits.argmax(1)


class HeatmapGraph(ModelGraph):
    """Graph of MMPose's ``TopdownPoseEstimator`` with heat maps: ``images`` of one object each to its key points.

    Returns ``keypoints`` ``(B, K, 2)``, (x, y) in pixels of the input, and ``keypoint_scores`` ``(B, K)``, the maxima
    of the heat maps. The position of a maximum is moved a quarter of a cell towards the larger neighbor, as MMPose's
    ``MSRAHeatmap`` decodes.

    Raises:
        InputError: If the head decodes in another way.
    """

    def __init__(self, model: BaseModel):
        super().__init__(model)
        codec = getattr(model.head, 'decoder', None)
        if type(codec).__name__ != 'MSRAHeatmap' or codec.unbiased:
            raise InputError(
                f'{type(model.head).__name__} with {type(codec).__name__} cannot be exported: heat maps of MSRAHeatmap '
                'without unbiased=True can'
            )
        self.register_buffer('scale', torch.as_tensor(codec.scale_factor, dtype=torch.float32))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        heatmaps = self.model(self.normalize(images), None, mode='tensor')
        height, width = heatmaps.shape[2:]
        flat = heatmaps.flatten(2)
        scores, best = flat.max(2)
        x, y = best % width, best // width

        def at(row: Tensor, column: Tensor) -> Tensor:
            cell = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
            return flat.gather(2, cell[..., None])[..., 0]

        towards_x = (at(y, x + 1) - at(y, x - 1)).sign() * ((x > 0) & (x < width - 1))
        towards_y = (at(y + 1, x) - at(y - 1, x)).sign() * ((y > 0) & (y < height - 1))
        points = torch.stack([x + 0.25 * towards_x, y + 0.25 * towards_y], -1)
        return points * self.scale, scores
