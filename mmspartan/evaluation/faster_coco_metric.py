"""COCO mAP computed by faster-coco-eval instead of pycocotools: the same numbers, sooner."""

from unittest.mock import patch

from mmdet.evaluation.metrics import coco_metric
from mmengine.registry import METRICS

from .coco_metric import CheckedCocoMetric


@METRICS.register_module()
class FasterCocoMetric(CheckedCocoMetric):
    """:class:`CheckedCocoMetric`, whose evaluator is replaced while it computes.

    Takes the same arguments; in a config or on the command line ``test_evaluator.type=FasterCocoMetric``. Numbers and
    times of both are compared by ``tools/analysis_tools/compare_coco_eval.py``.

    Raises:
        ImportError: If faster-coco-eval is not installed.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        try:
            from faster_coco_eval.core.faster_eval_api import COCOeval_faster
        except ImportError as error:
            raise ImportError('FasterCocoMetric needs faster-coco-eval: pip install faster-coco-eval') from error
        self.evaluator = COCOeval_faster

    def compute_metrics(self, results: list) -> dict[str, float]:
        # mmdet looks its evaluator up by name in its module
        with patch.object(coco_metric, 'COCOeval', self.evaluator):
            return super().compute_metrics(results)
