"""Real handwritten digits that ship inside scikit-learn, as an mmpretrain dataset: real input without a download.

Not imported by ``import mmspartan``, so that mmpretrain is needed only where it is used; in a config:
``custom_imports = dict(imports=['mmspartan', 'mmspartan.datasets.digits'])``.
"""

import numpy as np
from mmpretrain.datasets import BaseDataset
from mmpretrain.registry import DATASETS


@DATASETS.register_module()
class SklearnDigits(BaseDataset):
    """The 1797 grey 8x8 images of scikit-learn's ``load_digits`` (UCI Optical Recognition of Handwritten Digits).

    The split is fixed: every fifth image, by its place in the file, is held out (359 images), the others are for
    training (1438).

    Args:
        split (str): ``'train'`` or ``'test'``.
        **kwargs: As mmpretrain's ``BaseDataset``; ``pipeline`` starts from ``img``, uint8 ``(8, 8, 3)``.

    Raises:
        ValueError: If ``split`` is another word.
    """

    METAINFO = {'classes': tuple('0123456789')}

    def __init__(self, split: str, **kwargs):
        if split not in ('train', 'test'):
            raise ValueError(f"SklearnDigits: split must be 'train' or 'test', got {split!r}")
        self.split = split
        super().__init__(ann_file='', test_mode=split == 'test', **kwargs)

    def load_data_list(self) -> list[dict]:
        images, labels = load_digits_split(self.split)
        return [dict(img=image, gt_label=int(label)) for image, label in zip(images, labels)]


def load_digits_split(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Images ``(n, 8, 8, 3)`` uint8, white ink on black, and labels ``(n,)`` of one split."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    held_out = np.arange(len(digits.target)) % 5 == 4
    chosen = held_out if split == 'test' else ~held_out
    images = np.round(digits.images[chosen] * (255 / 16)).astype(np.uint8)  # 0..16 there
    return np.repeat(images[..., None], 3, axis=-1), digits.target[chosen]
