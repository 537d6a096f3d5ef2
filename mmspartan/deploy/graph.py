"""Exported graphs of normalization, network and post-processing.

Input ``images`` ``(B, 3, H, W)``: float32, 0 to 255, BGR as the pipeline loads them.
"""

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn


class Normalize(nn.Module):
    """Normalization of images as in the model's data preprocessor."""

    mean: Tensor
    std: Tensor

    def __init__(self, data_preprocessor: nn.Module):
        super().__init__()
        flip = getattr(data_preprocessor, 'to_rgb', getattr(data_preprocessor, '_channel_conversion', False))
        self.order = [2, 1, 0] if flip else [0, 1, 2]
        # a data preprocessor that does not normalize has no mean and std
        for name, default in (('mean', torch.zeros(1)), ('std', torch.ones(1))):
            self.register_buffer(name, getattr(data_preprocessor, name, default).view(-1, 1, 1).clone())

    def forward(self, images: Tensor) -> Tensor:
        return (images[:, self.order] - self.mean) / self.std


class ClassifierGraph(nn.Module):
    """Graph of a classifier: ``images`` to ``scores`` ``(B, classes)``, which sum to 1."""

    def __init__(self, model: BaseModel):
        super().__init__()
        self.normalize = Normalize(model.data_preprocessor)
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return self.model(self.normalize(images), mode='tensor').softmax(1)


class DetectorGraph(nn.Module):
    """Graph of a detector: ``images`` and ``sizes`` ``(B, 2)``, float32 (height, width) of the original images.

    Images are resized to the whole input, without padding. Returns ``boxes`` ``(B, K, 4)``, (x1, y1, x2, y2) in pixels
    of the original image, ``scores`` ``(B, K)`` in descending order and ``labels`` ``(B, K)``. K is ``max_per_img``, at
    most the number of pairs of query and class.
    """

    def __init__(self, model: BaseModel):
        super().__init__()
        self.normalize = Normalize(model.data_preprocessor)
        self.model = model

    def forward(self, images: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        model = self.model
        features = model.extract_feat(self.normalize(images))
        logits, boxes = model.bbox_head(**model.forward_transformer(features))
        num_classes = logits.shape[-1]
        # as mmdet's DETR heads: the best pairs of query and class
        scores = logits[-1].sigmoid().flatten(1)
        count = (model.test_cfg or {}).get('max_per_img', logits.shape[2])
        scores, pairs = scores.topk(min(count, scores.shape[1]), dim=1)
        boxes = boxes[-1].gather(1, (pairs // num_classes)[..., None].expand(-1, -1, 4))
        centers, extents = boxes.split(2, dim=-1)
        corners = torch.cat([centers - extents / 2, centers + extents / 2], -1).clamp(0, 1)
        return corners * sizes.flip(1).repeat(1, 2)[:, None], scores, pairs % num_classes
