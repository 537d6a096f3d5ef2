"""CIFAR-10 (Krizhevsky, 2009) in the channel order of every other image here.

It differs from mmpretrain's dataset in two things: images are BGR, as OpenCV reads files, so that the trained network
predicts files with the same settings; and ``data_root`` may hold a folder of images for each class instead of the
published pickles. ``import mmspartan`` does not import this module, so that it does not depend on mmpretrain.
"""

from pathlib import Path

import cv2
from mmpretrain.datasets import CIFAR10
from mmpretrain.registry import DATASETS

from ..errors import InputError

IMAGES = {'train': 50_000, 'test': 10_000}


@DATASETS.register_module()
class BGRCIFAR10(CIFAR10):
    """mmpretrain's ``CIFAR10`` with BGR images.

    Args:
        data_root (str): Folder of ``cifar-10-batches-py``, which is downloaded if it is missing; or of
            ``train/<class>/*`` and ``test/<class>/*``, images of 32 x 32 pixels.
        split (str): ``'train'`` (50,000 images) or ``'test'`` (10,000).
        **kwargs: As mmpretrain's ``CIFAR10``; ``pipeline`` starts from ``img``, uint8 ``(32, 32, 3)``.

    Raises:
        InputError: If an image of a folder cannot be read or has another size, or if one is missing.
    """

    def load_data_list(self) -> list[dict]:
        folder = Path(self.data_prefix['root'], self.split)
        if folder.is_dir():
            return self._of_folders(folder)
        return [dict(info, img=info['img'][..., ::-1]) for info in super().load_data_list()]

    def _of_folders(self, folder: Path) -> list[dict]:
        data_list = []
        for label, name in enumerate(self.metainfo['classes']):
            for path in sorted((folder / name).glob('*')):
                image = cv2.imread(str(path))
                if image is None or image.shape != (32, 32, 3):
                    raise InputError(f'{path}: is not an image of 32 x 32 pixels, as those of CIFAR-10 are')
                data_list.append(dict(img=image, gt_label=label))
        if len(data_list) != IMAGES[self.split]:
            raise InputError(
                f'{folder}: has {len(data_list)} images in the folders of the ten classes, CIFAR-10 has '
                f'{IMAGES[self.split]}; copy it again, or remove the folder and mmpretrain downloads CIFAR-10'
            )
        return data_list
