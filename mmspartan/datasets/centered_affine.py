"""Random affine transform about the center of an image, as in torchvision, for DEIM's Mosaic (arXiv 2412.04234)."""

import numpy as np
from mmdet.datasets.transforms import RandomAffine
from mmengine.registry import TRANSFORMS


@TRANSFORMS.register_module()
class CenteredRandomAffine(RandomAffine):
    """mmdet's ``RandomAffine``, which rotates, scales and shears about the top left corner, about the center instead.

    Takes the same arguments. Pixels are interpolated linearly; torchvision's default is the nearest one.
    """

    def _get_random_homography_matrix(self, height: int, width: int) -> np.ndarray:
        to_center = self._get_translation_matrix(width / 2, height / 2)
        to_origin = self._get_translation_matrix(-width / 2, -height / 2)
        return to_center @ super()._get_random_homography_matrix(height, width) @ to_origin
