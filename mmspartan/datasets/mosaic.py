"""Mosaic of four images, half of the dense one-to-one matching of DEIM (Huang et al., CVPR 2025, arXiv 2412.04234).

The authors' Mosaic has a fixed center and cells of the size of the largest image. mmdet's has a random center, cells of
a fixed size and images cut at the border, and needs ``MultiImageMixDataset``, which loads four images for each sample,
also without a mosaic. Its ``CachedMosaic`` depends on what its process loaded before, so that a resumed training would
have other batches.

Differs from the authors' code in that the configs limit the long side of an image to ten times its short side: OpenCV
transforms no image with a side of 32,767 pixels or more.
"""

import random
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform, Compose
from mmengine.registry import DATASETS, TRANSFORMS

from ..errors import InputError
from .coco import CheckedCocoDataset


@DATASETS.register_module()
class MosaicCocoDataset(CheckedCocoDataset):
    """A ``CheckedCocoDataset`` whose pipeline can load other images of it: it is the pipeline's ``dataset``."""

    def prepare_data(self, idx: int) -> Any:
        return self.pipeline({**self.get_data_info(idx), 'dataset': self})


@TRANSFORMS.register_module()
class GridMosaic(BaseTransform):
    """Puts an image and three random ones of its dataset on a black grid of two rows and two columns.

    All cells have the height of the highest and the width of the widest image, each in the top left of its cell.

    Required keys: ``dataset``, as of :class:`MosaicCocoDataset`, ``img`` (H, W, C), ``gt_bboxes`` (N, 4) in pixels,
    ``gt_bboxes_labels`` (N,), ``gt_ignore_flags`` (N,). Modified keys: the last four, ``img_shape``.

    Args:
        loading (list[dict]): Transforms that load an image with its annotations, and may resize it.

    Raises:
        InputError: If the dataset is no :class:`MosaicCocoDataset`.
    """

    def __init__(self, loading: list[dict]):
        self.loading = Compose(loading)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        dataset = results.get('dataset')
        if dataset is None:
            raise InputError('GridMosaic: its dataset must be of type MosaicCocoDataset, to load other images')
        others = [self.loading(dataset.get_data_info(random.randrange(len(dataset)))) for _ in range(3)]
        samples = [results, *others]
        height, width = np.max([sample['img'].shape[:2] for sample in samples], axis=0)
        canvas = np.zeros((2 * height, 2 * width, *results['img'].shape[2:]), results['img'].dtype)
        for i, sample in enumerate(samples):
            top, left = i // 2 * height, i % 2 * width
            rows, columns = sample['img'].shape[:2]
            canvas[top : top + rows, left : left + columns] = sample['img']
            sample['gt_bboxes'].translate_([left, top])
        for key in ('gt_bboxes_labels', 'gt_ignore_flags'):
            results[key] = np.concatenate([sample[key] for sample in samples])
        boxes = results['gt_bboxes']
        results['gt_bboxes'] = boxes.cat([sample['gt_bboxes'] for sample in samples])
        results['img'], results['img_shape'] = canvas, canvas.shape[:2]
        return results
