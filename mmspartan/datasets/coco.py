"""COCO-format data whose annotations and class names are checked."""

from collections.abc import Sequence
from pathlib import Path

from mmdet.datasets import CocoDataset
from mmengine.registry import DATASETS

from ..errors import InputError
from .coco_file import CheckedCOCO


@DATASETS.register_module()
class CheckedCocoDataset(CocoDataset):
    """mmdet's ``CocoDataset``, which passes over annotations and class names that cannot be right.

    Takes the same arguments. Annotations are checked by :func:`~mmspartan.datasets.coco_file.read_coco`.

    Raises:
        InputError: If ``metainfo.classes`` has a name that the file has not, a name twice, or another order than the
            file, by which labels are numbered; if nothing is left to train on; lists both sides.
    """

    def COCOAPI(self, path: str) -> CheckedCOCO:
        """What mmdet reads the file by, and forgets before labels can be compared with it."""
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
    """Refuse class names that a file does not have, or has in another order.

    Raises:
        InputError: Lists both sides.
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
