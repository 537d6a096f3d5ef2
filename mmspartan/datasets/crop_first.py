"""Expand and crop an image without the pixels that the crop removes: RT-DETR's zoom-out and IoU crop, faster."""

from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform, Compose, RandomApply
from mmdet.datasets.transforms import Expand, MinIoURandomCrop
from mmdet.structures.bbox import HorizontalBoxes
from mmengine.registry import TRANSFORMS

Patch = tuple[int, int, int, int]  # left, top, right, bottom in pixels


@TRANSFORMS.register_module()
class CropFirst(BaseTransform):
    """Apply mmdet's ``Expand`` and ``MinIoURandomCrop``, and write only the pixels that are left.

    ``Expand`` writes a canvas of up to sixteen times the image, of which ``MinIoURandomCrop`` keeps a part. Here the
    crop is decided on the boxes first. It draws the same random numbers as the two transforms, and the results are
    the same bit by bit. With masks, a segmentation map or other boxes than ``HorizontalBoxes`` the two transforms run
    as they are::

        dict(type='CropFirst', transforms=[
            dict(type='Expand', mean=[0, 0, 0], prob=0.5),
            dict(type='RandomApply', transforms=[dict(type='MinIoURandomCrop')], prob=0.8)])

    Required keys: ``img`` (H, W, C), ``gt_bboxes`` (N, 4) in pixels. Modified keys: these, ``img_shape``,
    ``gt_bboxes_labels`` (N,) and ``gt_ignore_flags`` (N,).

    Args:
        transforms: Configs of an ``Expand`` and of a ``RandomApply`` of one ``MinIoURandomCrop``.

    Raises:
        ValueError: If ``transforms`` are others.
    """

    def __init__(self, transforms: list[dict]):
        self.transforms = Compose(transforms)
        types = [(type(step), *map(type, getattr(step, 'transforms', ()))) for step in self.transforms]
        if types != [(Expand,), (RandomApply, MinIoURandomCrop)]:
            raise ValueError(
                f'CropFirst: transforms must be Expand and RandomApply of MinIoURandomCrop, got {transforms}'
            )
        self.expand, self.apply_crop = self.transforms
        (self.crop,) = self.apply_crop

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        image, boxes = results['img'], results['gt_bboxes']
        has_masks = results.get('gt_masks') is not None or results.get('gt_seg_map') is not None
        if has_masks or type(boxes) is not HorizontalBoxes:
            return self.transforms(results)
        left, top, (height, width) = 0, 0, image.shape[:2]
        if self.expand._random_prob() <= self.expand.prob:
            ratio = self.expand._random_ratio()
            left, top = self.expand._random_left_top(ratio, height, width)
            height, width = int(height * ratio), int(width * ratio)
            boxes.translate_([left, top])
        patch = (0, 0, width, height)
        if self.apply_crop.random_apply():
            patch, kept = self.draw_patch(boxes, height, width)
            if kept is not None:
                boxes = boxes[kept]
                boxes.translate_([-patch[0], -patch[1]])
                if self.crop.bbox_clip_border:
                    boxes.clip_([patch[3] - patch[1], patch[2] - patch[0]])
                results['gt_bboxes'] = boxes
                for key in ('gt_ignore_flags', 'gt_bboxes_labels'):
                    if results.get(key) is not None:
                        results[key] = results[key][kept]
        in_image = (patch[0] - left, patch[1] - top, patch[2] - left, patch[3] - top)
        results['img'] = cut(image, in_image, self.expand.mean)
        results['img_shape'] = results['img'].shape[:2]
        return results

    def draw_patch(self, boxes: HorizontalBoxes, height: int, width: int) -> tuple[Patch, np.ndarray | None]:
        """Draw as ``MinIoURandomCrop`` does; NumPy, since PyTorch's calls take longer than the IoU of a few boxes.

        Returns:
            tuple: The patch, and which boxes it keeps (N,), or None if it is the whole image or there are no boxes.
        """
        corners, centers = boxes.tensor.numpy(), boxes.centers.numpy()
        areas = (corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1])
        smallest, uniform = self.crop.min_crop_size, np.random.uniform
        while True:
            min_iou = self.crop._random_mode()
            if min_iou == 1:
                return (0, 0, width, height), None
            for _ in range(50):
                w, h = uniform(smallest * width, width), uniform(smallest * height, height)
                if not 0.5 <= h / w <= 2:
                    continue
                x, y = uniform(width - w), uniform(height - h)  # up to 1.0, uniform's default, as in mmdet
                patch = (int(x), int(y), int(x + w), int(y + h))
                if patch[2] == patch[0] or patch[3] == patch[1]:
                    continue
                if not len(areas):
                    return patch, None
                first, last = np.array(patch, np.float32).reshape(2, 2)
                sides = np.maximum(np.minimum(corners[:, 2:], last) - np.maximum(corners[:, :2], first), 0)
                overlaps = sides[:, 0] * sides[:, 1]
                area = np.float32((patch[2] - patch[0]) * (patch[3] - patch[1]))
                if (overlaps / np.maximum(area + areas - overlaps, np.float32(1e-6))).min() < min_iou:
                    continue
                kept = ((centers > first) & (centers < last)).all(axis=1)
                if kept.any():
                    return patch, kept


def cut(image: np.ndarray, patch: Patch, fill: Any) -> np.ndarray:
    """Return the pixels in ``patch``, which may reach over the image (H, W, C); there they are ``fill``."""
    left, top, right, bottom = patch
    inside = image[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    if inside.shape[:2] == (bottom - top, right - left):
        return inside
    # memory of zeros is not written before its first use
    canvas = np.zeros((bottom - top, right - left, image.shape[2]), image.dtype)
    if np.any(fill):
        canvas[:] = fill
    left, top = max(-left, 0), max(-top, 0)
    canvas[top : top + inside.shape[0], left : left + inside.shape[1]] = inside
    return canvas
