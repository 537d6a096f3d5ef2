from .coco_metric import CheckedCocoMetric
from .faster_coco_metric import FasterCocoMetric

__all__ = ['CheckedCocoMetric', 'FasterCocoMetric']
