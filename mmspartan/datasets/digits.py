"""The handwritten digits that ship with scikit-learn, as an mmpretrain dataset that needs no download.

``import mmspartan`` does not import this module, so that it does not depend on mmpretrain. In a config:
``custom_imports = dict(imports=['mmspartan', 'mmspartan.datasets.digits'])``.
"""

from mmpretrain.datasets import BaseDataset
from mmpretrain.registry import DATASETS

from .digits_split import load_digits_split


@DATASETS.register_module()
class SklearnDigits(BaseDataset):
    """The images of :func:`~mmspartan.datasets.digits_split.load_digits_split`.

    Args:
        split (str): ``'train'`` (1438 images) or ``'test'`` (359).
        **kwargs: As mmpretrain's ``BaseDataset``; ``pipeline`` starts from ``img``, uint8 ``(8, 8, 3)``.
    """

    METAINFO = {'classes': tuple('0123456789')}

    def __init__(self, split: str, **kwargs):
        self.split = split
        super().__init__(ann_file='', test_mode=split == 'test', **kwargs)

    def load_data_list(self) -> list[dict]:
        images, labels = load_digits_split(self.split)
        return [dict(img=image, gt_label=int(label)) for image, label in zip(images, labels)]
