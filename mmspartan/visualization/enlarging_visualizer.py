"""Detections on pictures that are too small for legible labels."""

from typing import Any

import cv2
import numpy as np
from mmdet.structures import DetDataSample
from mmdet.visualization import DetLocalVisualizer
from mmengine.registry import VISUALIZERS


@VISUALIZERS.register_module()
class EnlargingDetLocalVisualizer(DetLocalVisualizer):
    """mmdet's ``DetLocalVisualizer``, which enlarges small pictures by a whole factor before it draws boxes.

    Pictures with masks or segmentation maps are drawn as they are.

    Args:
        name (str): As in mmdet, as are ``**kwargs``.
        min_side (int): Least width and height of a drawn picture in pixels. Defaults to 480.
    """

    def __init__(self, name: str = 'visualizer', min_side: int = 480, **kwargs: Any):
        super().__init__(name, **kwargs)
        self.min_side = min_side

    def add_datasample(
        self, name: str, image: np.ndarray, data_sample: DetDataSample | None = None, *args: Any, **kwargs: Any
    ) -> None:
        factor = -(-self.min_side // min(image.shape[:2]))
        if factor > 1 and has_only_boxes(data_sample):
            image = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
            data_sample = enlarged(data_sample, factor)
        super().add_datasample(name, image, data_sample, *args, **kwargs)


def instances_of(data_sample: DetDataSample | None) -> list[str]:
    names = ('gt_instances', 'pred_instances')
    return [name for name in names if data_sample is not None and name in data_sample]


def has_only_boxes(data_sample: DetDataSample | None) -> bool:
    if data_sample is None:
        return True
    maps = [name for name in data_sample.all_keys() if name.endswith('_seg')]
    instances = [data_sample.get(name) for name in instances_of(data_sample)]
    return not maps and all('bboxes' in found and 'masks' not in found for found in instances)


def enlarged(data_sample: DetDataSample | None, factor: float) -> DetDataSample | None:
    """A copy of a data sample whose boxes are those of a picture enlarged by ``factor``."""
    if data_sample is None:
        return None
    copied = data_sample.clone()
    for name in instances_of(copied):
        instances = copied.get(name).clone()
        instances.bboxes = getattr(instances.bboxes, 'tensor', instances.bboxes) * factor
        setattr(copied, name, instances)
    return copied
