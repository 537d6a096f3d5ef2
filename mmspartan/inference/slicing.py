"""Detection of small objects in large images: in overlapping parts and in the whole image.

Slicing aided hyper inference (`SAHI <https://arxiv.org/abs/2202.06934>`_), Fig. 2, with sahi's slices and mmdet's
merging. A part is resized to the size of the test pipeline, so that objects appear larger in it than in the image.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox_overlaps
from mmengine.structures import InstanceData

from ..errors import InputError
from .inferencer import CheckedDetInferencer


class SlicingDetInferencer(CheckedDetInferencer):
    """:class:`CheckedDetInferencer` in parts of each image, whose detections are merged by non-maximum suppression.

    Args:
        *args: As in ``CheckedDetInferencer``, as are ``**kwargs``.
        slice_size: Width and height of a part in pixels.
        overlap: Overlap of neighbouring parts relative to their size, in [0, 1). Objects that are not larger than the
            overlap are complete in one of the parts.
        iou_threshold: Detections of one class with a larger IoU are taken for the same object. Defaults to 0.5.

    Raises:
        InputError: If sahi is not installed, or an argument is out of range.
    """

    max_pixels = 1 << 30  # OpenCV's own limit: large images are what slices are for

    def __init__(self, *args: Any, slice_size: int, overlap: float = 0.2, iou_threshold: float = 0.5, **kwargs: Any):
        try:
            import sahi  # noqa: F401
        except ImportError as error:
            raise InputError('slicing needs sahi: pip install --no-deps sahi') from error
        if slice_size < 1 or not 0 <= overlap < 1:
            raise InputError(f'slices of {slice_size} pixels, overlap {overlap}: at least 1, and in [0, 1)')
        super().__init__(*args, **kwargs)
        self.slice_size, self.overlap = slice_size, overlap
        self.nms_cfg = dict(type='nms', iou_threshold=iou_threshold)

    def preprocess(self, inputs: Iterable[str | np.ndarray], batch_size: int = 1, **kwargs: Any) -> Iterator[Any]:
        """Yield each input with an iterator over batches of its parts, the last of which is the whole image."""
        for source in inputs:
            image = self.read(source)
            boxes = slices(image.shape[0], image.shape[1], self.slice_size, self.overlap)
            parts = [image[top:bottom, left:right] for left, top, right, bottom in boxes]
            batches = (data for _, data in super(CheckedDetInferencer, self).preprocess(parts, batch_size, **kwargs))
            yield [source], (source, image.shape[:2], boxes, batches)

    @torch.no_grad()
    def forward(self, inputs: tuple, **kwargs: Any) -> list[DetDataSample]:
        from mmdet.utils.large_image import merge_results_by_nms

        source, size, boxes, batches = inputs
        samples = [sample for data in batches for sample in super(SlicingDetInferencer, self).forward(data, **kwargs)]
        merged = samples[-1]
        for sample, box in zip(samples, boxes):
            found = sample.pred_instances
            found.is_cut, found.score = is_cut(found.bboxes, box, size), found.scores
            found.scores = found.scores / (1 + found.is_cut)  # complete detections before cut ones
        filled = [(sample, box[:2]) for sample, box in zip(samples, boxes) if len(sample.pred_instances)]
        if filled:
            merged = merge_results_by_nms(*map(list, zip(*filled)), size, self.nms_cfg)
        found = merged.pred_instances
        found.scores = found.pop('score')
        merged.pred_instances = without_pieces(found)
        merged.set_metainfo(dict(ori_shape=size, img_path=source if isinstance(source, str) else None))
        return [merged]


def slices(height: int, width: int, size: int, overlap: float) -> list[list[int]]:
    """Return the parts of an image and the whole, each as left, top, right and bottom in pixels."""
    from sahi.slicing import get_slice_bboxes

    whole = [0, 0, width, height]
    parts = get_slice_bboxes(height, width, size, size, False, overlap, overlap)
    return [*(part for part in parts if part != whole), whole]


def without_pieces(found: InstanceData, share: float = 0.7) -> InstanceData:
    """Leave out detections that are cut (``is_cut``) and lie in a complete one of the same object.

    ``share`` is that of a cut box in the complete one, whose score is at least half of its own.
    """
    cut, complete = found[found.is_cut], found[~found.is_cut]
    covered = bbox_overlaps(cut.bboxes, complete.bboxes, mode='iof') >= share
    covered &= cut.labels[:, None] == complete.labels
    covered &= cut.scores[:, None] <= 2 * complete.scores
    kept = InstanceData.cat([complete, cut[~covered.any(1)]])
    kept.pop('is_cut')
    return kept[kept.scores.argsort(descending=True)]


def is_cut(boxes: torch.Tensor, part: list[int], size: tuple[int, int], tolerance: float = 0.01) -> torch.Tensor:
    """Return whether boxes touch a border of their part that is not one of the image; they are incomplete.

    Args:
        boxes: Corners in pixels of the part, ``(N, 4)``.
        part: Left, top, right and bottom in pixels of the image, whose height and width are ``size``.
        tolerance: Distance to the border relative to the part that counts as touching.
    """
    left, top, right, bottom = part
    margin = tolerance * max(right - left, bottom - top)
    cut = torch.zeros(len(boxes), dtype=torch.bool, device=boxes.device)
    for side, is_inner, limit in (
        (0, left > 0, margin),
        (1, top > 0, margin),
        (2, right < size[1], right - left - margin),
        (3, bottom < size[0], bottom - top - margin),
    ):
        if is_inner:
            cut |= boxes[:, side] < limit if side < 2 else boxes[:, side] > limit
    return cut
