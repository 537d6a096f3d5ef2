"""Images for the ranges of activations."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope
from mmengine.utils import track_iter_progress


class CalibrationImages:
    """Evenly spaced images of a config's training set, loaded by its test pipeline.

    Args:
        cfg (Config): With ``train_dataloader`` and ``test_dataloader``.
        count (int): Number of images; all if there are fewer.

    Attributes:
        classes: Class names of the training set; empty if it has none.
    """

    def __init__(self, cfg: Config, count: int):
        init_default_scope(cfg.get('default_scope') or 'mmengine')
        pipeline = cfg.test_dataloader.dataset.pipeline
        self.dataset: Any = DATASETS.build({**cfg.train_dataloader.dataset, 'pipeline': pipeline})
        self.classes = self.dataset.metainfo.get('classes', ())
        self.chosen = np.linspace(0, len(self.dataset) - 1, min(count, len(self.dataset))).astype(int).tolist()

    def __iter__(self) -> Iterator[dict]:
        for i in track_iter_progress(self.chosen):
            yield self.dataset[i]
