"""COCO-format data whose class names are checked."""

import json

from mmdet.datasets import CocoDataset
from mmengine.fileio import get_local_path
from mmengine.registry import DATASETS


@DATASETS.register_module()
class CheckedCocoDataset(CocoDataset):
    """mmdet's ``CocoDataset``, which passes over class names that the annotation file does not have.

    Labels are numbered in the file's order whatever the order of ``metainfo.classes``; names would be drawn beside
    wrong boxes, so that is checked too.

    Raises:
        ValueError: If ``metainfo.classes`` has a name that the file has not, or another order; lists both sides.
    """

    def load_data_list(self) -> list[dict]:
        data_list = super().load_data_list()
        classes = list(self.metainfo['classes'])
        with get_local_path(self.ann_file, backend_args=self.backend_args) as path, open(path) as file:
            names = [category['name'] for category in json.load(file)['categories']]
        missing = [name for name in classes if name not in names]
        sides = f'metainfo.classes: {classes}\ncategories of {self.ann_file}: {names}'
        if missing:
            raise ValueError(f'no category is called {missing}.\n{sides}')
        if [name for name in names if name in classes] != classes:
            raise ValueError(f'metainfo.classes has another order than the file; labels follow the file.\n{sides}')
        return data_list
