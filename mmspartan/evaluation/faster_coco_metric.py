"""COCO mAP computed by faster-coco-eval instead of pycocotools: the same numbers in less time."""

from types import FunctionType

from mmdet.evaluation.metrics import CocoMetric
from mmengine.registry import METRICS

from .coco_metric import CheckedCocoMetric


@METRICS.register_module()
class FasterCocoMetric(CheckedCocoMetric):
    """:class:`CheckedCocoMetric` with another evaluator.

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
        # mmdet finds its evaluator among the globals of its module; this copy of the method has globals of its own
        compute = CocoMetric.compute_metrics
        names = {**compute.__globals__, 'COCOeval': COCOeval_faster}
        self._compute = FunctionType(compute.__code__, names, compute.__name__, None, compute.__closure__)

    def compute_metrics(self, results: list) -> dict[str, float]:
        return self._compute(self, results)
