"""Detections as a person reads them: one label for each box, the strongest on top, legible at any size of the image."""

from typing import Any

import cv2
import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmdet.visualization import DetLocalVisualizer
from mmengine.registry import VISUALIZERS
from mmengine.structures import InstanceData
from PIL import Image, ImageDraw

from .boxes import Color, class_color, contrasting, strongest_boxes
from .file_names import FileNames
from .fonts import draw_text, legible, text_width
from .label_layout import place_labels

MAX_ENLARGED = 4096  # longest side in pixels up to which an image is enlarged


# the second name is the one of version 0.1
@VISUALIZERS.register_module(name=['LegibleDetLocalVisualizer', 'EnlargingDetLocalVisualizer'])
class LegibleDetLocalVisualizer(DetLocalVisualizer):
    """mmdet's ``DetLocalVisualizer`` with one label for each box.

    Of several detections of one object only the strongest is drawn, see
    :func:`~mmspartan.visualization.boxes.strongest_boxes`. Lines and letters grow with the image, a line has a dark
    border that separates it from any background, labels avoid each other, and stronger boxes lie on top. Images are
    enlarged by a whole factor if they are too small for labels. Masks and segmentation maps are drawn as by mmdet.

    Args:
        name (str): As in mmdet, as are ``**kwargs``.
        min_side (int): Least width and height of a drawn image in pixels. Defaults to 240.
        line_width (int, optional): Width of lines in pixels. By default it grows with the image.
        bbox_color: RGB colors of the classes, one color for all, or None for bright colors without green.
        font_size (int, optional): Height of letters in pixels. By default it grows with the image.
        max_iou (float): IoU from which on two detections are of one object. Defaults to 0.7.
    """

    def __init__(
        self,
        name: str = 'visualizer',
        *args: Any,
        min_side: int = 240,
        line_width: int | None = None,
        bbox_color: Any = None,
        font_size: int | None = None,
        max_iou: float = 0.7,
        **kwargs: Any,
    ):
        super().__init__(name, *args, line_width=line_width or 3, bbox_color=bbox_color, **kwargs)
        self.min_side, self.max_iou = min_side, max_iou
        self.fixed_line_width, self.fixed_font_size = line_width, font_size
        self.names = FileNames()

    def add_datasample(
        self, name: str, image: np.ndarray, data_sample: DetDataSample | None = None, *args: Any, **kwargs: Any
    ) -> None:
        factor = min(-(-self.min_side // min(image.shape[:2])), MAX_ENLARGED // max(image.shape[:2]))
        if factor > 1 and has_only_boxes(data_sample):
            image = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
            data_sample = enlarged(data_sample, factor)
        source = getattr(data_sample, 'img_path', None)
        if kwargs.get('out_file') and source:
            kwargs['out_file'] = self.names.free(kwargs['out_file'], source)
        super().add_datasample(name, image, data_sample, *args, **kwargs)

    def _draw_instances(
        self, image: np.ndarray, instances: InstanceData, classes: list[str] | None, palette: Any
    ) -> np.ndarray:
        boxes = instances.get('bboxes')
        boxes = np.zeros((0, 4)) if boxes is None else np.asarray(getattr(boxes, 'tensor', boxes), dtype=np.float64)
        if 'bboxes' not in instances or ('masks' in instances and not boxes.any()):  # masks alone
            return super()._draw_instances(image, instances, classes, palette)
        if 'scores' in instances:
            order = strongest_boxes(boxes, np.asarray(instances.scores), self.max_iou)
        else:  # smaller objects on top of larger ones
            order = np.argsort(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1), kind='stable').tolist()
        order = [i for i in order if not np.isnan(boxes[i]).any()]
        instances, boxes = instances[torch.tensor(order, dtype=torch.long)], boxes[order]
        if 'masks' in instances:
            last_on_top = torch.arange(len(order)).flip(0)
            return super()._draw_instances(image, instances[last_on_top], classes, palette)
        labels = np.asarray(instances.labels).tolist()
        texts = [self._text(instances, i, label, classes) for i, label in enumerate(labels)]
        return self._draw_boxes(image, boxes, texts, [self._color(label) for label in labels])

    def _text(self, instances: InstanceData, i: int, label: int, classes: list[str] | None) -> str:
        if 'label_names' in instances:
            name = instances.label_names[i]
        else:
            name = classes[label] if classes is not None and label < len(classes) else f'class {label}'
        name = legible(name, label, length=48)
        return f'{name} {float(instances.scores[i]):.2f}' if 'scores' in instances else name

    def _color(self, label: int) -> Color:
        if self.bbox_color is None:
            return class_color(label)
        if isinstance(self.bbox_color, list):
            return tuple(self.bbox_color[label % len(self.bbox_color)])
        if isinstance(self.bbox_color, str):
            from matplotlib.colors import to_rgb

            return tuple(round(255 * part) for part in to_rgb(self.bbox_color))
        return tuple(self.bbox_color)

    def _draw_boxes(self, image: np.ndarray, boxes: np.ndarray, texts: list[str], colors: list[Color]) -> np.ndarray:
        """Draw boxes ``(N, 4)`` on an RGB image ``(H, W, 3)``, the first on top."""
        height, width = image.shape[:2]
        side = max(height, width)
        line = self.fixed_line_width or max(2, round(side / 320))
        size = self.fixed_font_size or max(13, round(side / 40))
        border = max(1, line // 2)
        canvas = Image.fromarray(np.ascontiguousarray(image))
        draw = ImageDraw.Draw(canvas)
        corners = [tuple(np.clip(np.round(box), 0, [width - 1, height - 1] * 2).tolist()) for box in boxes]
        for (x1, y1, x2, y2), color in reversed(list(zip(corners, colors))):
            outer = (x1 - border, y1 - border, max(x2, x1) + border, max(y2, y1) + border)
            draw.rectangle(outer, outline=contrasting(color), width=line + 2 * border)
            draw.rectangle((x1, y1, max(x2, x1), max(y2, y1)), outline=color, width=line)
        pad = max(2, size // 6)
        sizes = [(round(text_width(text, size)) + 2 * pad, round(size * 1.2) + pad) for text in texts]
        places = place_labels(corners, sizes, (width, height))
        for (left, top, right, bottom), text, color in reversed(list(zip(places, texts, colors))):
            draw.rectangle((left, top, right, bottom), fill=color)
            draw_text(draw, left + pad, (top + bottom) / 2, text, contrasting(color), size)
        return np.asarray(canvas)


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
    """Return a copy of a data sample whose boxes are those of an image enlarged by ``factor``."""
    if data_sample is None:
        return None
    copied = data_sample.clone()
    for name in instances_of(copied):
        instances = copied.get(name).clone()
        instances.bboxes = getattr(instances.bboxes, 'tensor', instances.bboxes) * factor
        setattr(copied, name, instances)
    return copied
