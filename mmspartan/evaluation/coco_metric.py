"""COCO mAP with checks of annotations and predictions."""

import io
import logging
from collections.abc import Sequence
from contextlib import redirect_stdout
from typing import Any

from mmdet.datasets.api_wrappers import COCOeval, COCOevalMP
from mmdet.evaluation.metrics import CocoMetric
from mmengine.fileio import get_local_path
from mmengine.logging import print_log
from mmengine.registry import METRICS

from ..compat import with_globals
from ..datasets.checked_coco import CheckedCOCO
from ..datasets.coco import check_categories
from ..errors import InputError
from ..runs.hooks.finite_hook import check_predictions
from .limited_eval import crowded, limited, limits_of


@METRICS.register_module()
class CheckedCocoMetric(CocoMetric):
    """mmdet's ``CocoMetric`` with checks; mmdet's counts a NaN as a match, and ignores an annotation whose id is 0.

    Takes the same arguments. Every AP has one limit of detections of an image, see
    :mod:`~mmspartan.evaluation.limited_eval`. The annotation file is checked by
    :func:`~mmspartan.datasets.checked_coco.read_checked_coco`, and its categories are compared with the dataset's
    classes before the evaluation.

    Raises:
        InputError: If ``proposal_nums`` or the file is not valid, the file has no annotation, its categories are not
            the dataset's classes, a prediction is not finite, or ``classwise`` is asked for and the ids of the
            categories do not ascend.
    """

    def __init__(
        self,
        ann_file: str | None = None,
        *args,
        sort_categories: bool = False,
        proposal_nums: Sequence[int] | None = None,
        **kwargs,
    ):
        limits, self.ap_index = limits_of(proposal_nums)
        super().__init__(None, *args, sort_categories=sort_categories, proposal_nums=limits, **kwargs)
        self.ann_file = ann_file
        if ann_file is None:
            return
        with get_local_path(ann_file, backend_args=self.backend_args) as path:
            self._coco_api = CheckedCOCO(path)
        if sort_categories:
            self._coco_api.cats = dict(sorted(self._coco_api.cats.items()))
            self._coco_api.dataset['categories'].sort(key=lambda category: category['id'])
        if not self._coco_api.dataset['annotations'] and not self.format_only:
            raise InputError(f'{ann_file}: has no annotations to compare with')
        note = crowded(self._coco_api, limits[self.ap_index])
        if note and not self.format_only:
            print_log(f'{ann_file}: {note}', 'current', logging.WARNING)

    @property
    def dataset_meta(self) -> dict | None:
        return self._dataset_meta

    @dataset_meta.setter
    def dataset_meta(self, meta: dict) -> None:
        if self._coco_api is not None and meta and meta.get('classes'):
            names = [category['name'] for category in self._coco_api.dataset['categories']]
            check_categories(meta['classes'], names, str(self.ann_file), "the dataset's classes")
            ids = self._coco_api.get_cat_ids(cat_names=meta['classes'])
            if self.classwise and ids != sorted(ids):
                raise InputError(
                    f'{self.ann_file}: the ids of its categories do not ascend, and mmdet would exchange the classes '
                    'in the table of test_evaluator.classwise; use tools/evaluate.py'
                )
        self._dataset_meta = meta

    def evaluators(self) -> dict[str, type]:
        """Return the evaluators by the names that mmdet has for them."""
        return dict(COCOeval=COCOeval, COCOevalMP=COCOevalMP)

    def compute_metrics(self, results: list) -> dict[str, float]:
        evaluators = {name: limited(kind, self.ap_index) for name, kind in self.evaluators().items()}
        compute = with_globals(CocoMetric.compute_metrics, **evaluators)  # it looks them up as global names
        with redirect_stdout(io.StringIO()) as printed:
            metrics = compute(self, results)
        table = [line for line in printed.getvalue().splitlines() if ' @[ ' in line]  # without pycocotools' steps
        if table:
            print_log('\n'.join(['', *table]), 'current')
        return metrics

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        check_predictions(data_samples, 'the model')
        super().process(data_batch, data_samples)
