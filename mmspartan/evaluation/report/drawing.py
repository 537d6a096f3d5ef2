"""Images with the objects beside the detections of one or two models; errors or differences have another color."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from pycocotools.coco import COCO

from ...datasets.image_files import decode_image, read_image
from ...visualization.fonts import legible
from ...visualization.legible_visualizer import LegibleDetLocalVisualizer, enlarged
from .ground_truth import GroundTruth
from .operating_point import OperatingPoint

RIGHT, ERROR, CROWD = range(3)
PALETTE = [(0, 158, 115), (230, 85, 0), (150, 150, 150)]  # RGB; green and orange also differ for the color-blind
MIN_SIDE, MAX_SIDE = 480, 800  # of a drawn image in pixels
GAP = 8  # between images


@dataclass(frozen=True)
class Panel:
    """Detections of a model, and the ids of those in another color."""

    detections: COCO
    marked: frozenset[int]  # in the color of errors
    ignored: frozenset[int] = frozenset()  # in the color of crowd regions

    @classmethod
    def of_errors(cls, point: OperatingPoint) -> 'Panel':
        """Mark the false detections."""
        matching = point.matching
        ignored = point.detections.anns.keys() - matching.right.keys() - set(matching.false)
        return cls(point.detections, frozenset(matching.false), frozenset(ignored))


class ImageDrawer:
    """Draws images with objects, the ``missed`` ones in the color of errors, and detections of one or two models."""

    def __init__(self, truth: GroundTruth, missed: Iterable[int], panels: Sequence[Panel]):
        self.truth, self.missed, self.panels = truth, frozenset(missed), panels
        self.names = {
            category: legible(name, label)
            for label, (category, name) in enumerate(zip(truth.category_ids, truth.classes), 1)
        }
        self.visualizer = LegibleDetLocalVisualizer(name='report', min_side=MIN_SIDE, bbox_color=PALETTE)

    def draw(self, image_id: Any) -> np.ndarray:
        """Draw objects, then detections of each model, side by side, BGR; raises InputError without the image."""
        image = self._read(image_id)
        factor = min(1.0, MAX_SIDE / max(image.shape[:2]))
        if factor < 1:
            image = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        drawn = [self._draw(image, self._objects(image_id), factor)]
        for panel in self.panels:
            drawn.append(np.full((len(drawn[0]), GAP, 3), 255, np.uint8))
            drawn.append(self._draw(image, self._detections(image_id, panel), factor))
        return np.concatenate(drawn, axis=1)

    def _draw(self, image: np.ndarray, instances: InstanceData, factor: float) -> np.ndarray:
        sample = enlarged(DetDataSample(gt_instances=instances), factor)
        self.visualizer.add_datasample('image', image[..., ::-1], sample, draw_pred=False)
        return self.visualizer.get_image()[..., ::-1]

    def _read(self, image_id: Any) -> np.ndarray:
        path, entry = self.truth.image_path(image_id), self.truth.coco.imgs[image_id]
        content = read_image(path)
        image = decode_image(content, path)
        if image.shape[:2] != (entry['height'], entry['width']):
            image = decode_image(content, path, 'color_ignore_orientation')  # as some annotations do
        return image

    def _objects(self, image_id: Any) -> InstanceData:
        objects = [a for a in self.truth.coco.imgToAnns[image_id] if a['category_id'] in self.names]
        return instances(
            [a['bbox'] for a in objects],
            [CROWD if a['iscrowd'] else int(a['id'] in self.missed) for a in objects],
            [self.names[a['category_id']] for a in objects],
        )

    def _detections(self, image_id: Any, panel: Panel) -> InstanceData:
        found = panel.detections.imgToAnns[image_id]
        return instances(
            [d['bbox'] for d in found],
            [ERROR if d['id'] in panel.marked else CROWD if d['id'] in panel.ignored else RIGHT for d in found],
            [f'{self.names[d["category_id"]]} {d["score"]:.2f}' for d in found],
        )


def instances(boxes: list[list[float]], kinds: list[int], texts: list[str]) -> InstanceData:
    """Return instances with boxes (x, y, width, height), a color each and the texts of their labels."""
    corners = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    corners[:, 2:] += corners[:, :2]
    found = InstanceData(bboxes=corners, labels=torch.tensor(kinds, dtype=torch.long))
    if texts:
        found.label_names = texts
    return found
