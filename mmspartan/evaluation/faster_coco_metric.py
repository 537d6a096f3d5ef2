"""COCO mAP by faster-coco-eval, which gives the same numbers as pycocotools in less time."""

from mmengine.registry import METRICS

from .coco_metric import CheckedCocoMetric


@METRICS.register_module()
class FasterCocoMetric(CheckedCocoMetric):
    """:class:`CheckedCocoMetric` with the evaluator of faster-coco-eval.

    Takes the same arguments; in a config or on the command line set ``test_evaluator.type=FasterCocoMetric``.

    Raises:
        ImportError: If faster-coco-eval is not installed.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        try:
            import faster_coco_eval  # noqa: F401
        except ImportError as error:
            raise ImportError('FasterCocoMetric needs faster-coco-eval: pip install faster-coco-eval') from error

    def evaluators(self) -> dict[str, type]:
        from faster_coco_eval.core.faster_eval_api import COCOeval_faster

        return dict(COCOeval=COCOeval_faster, COCOevalMP=COCOeval_faster)
