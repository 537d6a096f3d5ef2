"""COCO-format dataset that checks annotations and class names."""

from collections.abc import Sequence
from pathlib import Path

from mmdet.datasets import CocoDataset
from mmengine.registry import DATASETS

from ..errors import InputError
from .checked_coco import CheckedCOCO


@DATASETS.register_module()
class CheckedCocoDataset(CocoDataset):
    """mmdet's ``CocoDataset`` with checks of the annotations and class names, which mmdet accepts without a message.

    Takes the same arguments. Annotations are checked by :func:`~mmspartan.datasets.checked_coco.read_checked_coco`.

    Raises:
        InputError: If ``metainfo.classes`` has a name that is not in the file, a name twice, or another order than the
            file, whose order defines the labels; the message lists both. Also if there is no object to train on.
    """

    def COCOAPI(self, path: str) -> CheckedCOCO:
        """Read the annotation file for mmdet, and keep its classes, since mmdet drops this object after loading."""
        if not Path(path).is_file():
            raise InputError(f'{path}: ann_file is no file')
        api = CheckedCOCO(path)
        self.file_classes = [category['name'] for category in api.dataset['categories']]
        self.num_annotations = len(api.dataset['annotations'])
        return api

    def load_data_list(self) -> list[dict]:
        data_list = super().load_data_list()
        check_categories(self.metainfo['classes'], self.file_classes, self.ann_file, 'metainfo.classes')
        objects = sum(len(data['instances']) for data in data_list)
        if not self.test_mode and objects == 0:
            raise InputError(
                f'{self.ann_file}: no object to train on: of its {self.num_annotations} annotations none is of '
                f'{", ".join(self.metainfo["classes"][:10])} and at least a pixel wide and high'
            )
        return data_list


def check_categories(classes: Sequence[str], names: Sequence[str], path: str, option: str) -> None:
    """Check that the categories of a file have these class names in this order.

    Raises InputError if a class is missing, given twice, or in another order. The message lists both, with ``option``
    as the name of ``classes``.
    """
    sides = f'{option}: {list(classes)}; categories of {path}: {list(names)}'
    missing = [name for name in classes if name not in names]
    twice = sorted({name for name in classes if list(classes).count(name) > 1})
    if missing:
        raise InputError(f'no category is called {missing}. {sides}')
    if twice:
        raise InputError(f'{twice} are there twice. {sides}')
    if [name for name in names if name in classes] != list(classes):
        raise InputError(f'{option} has another order than the file; labels follow the file. {sides}')
