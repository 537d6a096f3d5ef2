"""Images for the ranges of activations."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.dataset import ConcatDataset
from mmengine.registry import DATASETS, init_default_scope
from mmengine.utils import track_iter_progress

from .inner import first_test_dataset, inner_datasets


class CalibrationImages:
    """Evenly spaced images of a config's training sets, loaded by its test pipeline.

    Args:
        cfg (Config): With ``train_dataloader`` and ``test_dataloader``.
        count (int): Number of images; all if there are fewer.

    Attributes:
        classes: Class names of the first training set; empty if it has none.
    """

    def __init__(self, cfg: Config, count: int):
        init_default_scope(cfg.get('default_scope') or 'mmengine')
        pipeline = first_test_dataset(cfg)['pipeline']
        inner = inner_datasets(cfg.train_dataloader, '')
        datasets = [DATASETS.build({**data, 'pipeline': pipeline}) for _, data in inner]
        self.dataset: Any = ConcatDataset(datasets) if len(datasets) > 1 else datasets[0]
        self.classes = self.dataset.metainfo.get('classes', ())
        self.chosen = np.linspace(0, len(self.dataset) - 1, min(count, len(self.dataset))).astype(int).tolist()

    def __iter__(self) -> Iterator[dict]:
        for i in track_iter_progress(self.chosen):
            yield self.dataset[i]
