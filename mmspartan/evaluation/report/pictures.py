"""Pictures with the objects beside the detections of one or two models; errors or differences have another color."""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import mmcv
import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from pycocotools.coco import COCO

from ...datasets.pictures import read_picture
from ...errors import InputError
from ...visualization.enlarging_visualizer import EnlargingDetLocalVisualizer, enlarged
from .figures import legible
from .ground_truth import GroundTruth
from .operating_point import OperatingPoint

RIGHT, ERROR, CROWD = range(3)
PALETTE = [(0, 158, 115), (230, 85, 0), (150, 150, 150)]  # RGB; green and orange also differ for the color-blind
MAX_SIDE = 800  # of a drawn picture in pixels
GAP = 8  # between pictures


@dataclass(frozen=True)
class Panel:
    """Detections of a model.

    Attributes:
        detections: The detections.
        marked: Ids of those in the color of errors, on top of the others.
        ignored: Ids of those in the color of crowd regions.
    """

    detections: COCO
    marked: frozenset[int]
    ignored: frozenset[int] = frozenset()

    @classmethod
    def of_errors(cls, point: OperatingPoint) -> 'Panel':
        """Mark the false detections."""
        matching = point.matching
        ignored = point.detections.anns.keys() - matching.right.keys() - set(matching.false)
        return cls(point.detections, frozenset(matching.false), frozenset(ignored))


class PictureDrawer:
    """Draws pictures with objects and detections by mmdet's visualizer.

    Args:
        truth: The objects.
        missed: Ids of the objects in the color of errors.
        panels: Detections of one or two models.
    """

    def __init__(self, truth: GroundTruth, missed: Iterable[int], panels: Sequence[Panel]):
        self.truth, self.missed, self.panels = truth, frozenset(missed), panels
        self.names = {
            category: legible(name, label)
            for label, (category, name) in enumerate(zip(truth.category_ids, truth.classes), 1)
        }
        self.visualizer = EnlargingDetLocalVisualizer(name='report', line_width=2)
        self.visualizer.dataset_meta = dict(palette=PALETTE)

    def draw(self, picture_id: Any) -> np.ndarray:
        """Draw objects, then the detections of each model, side by side.

        Returns:
            np.ndarray: BGR picture.

        Raises:
            InputError: If the picture cannot be read. The message names it.
        """
        image = self._read(picture_id)
        factor = min(1.0, MAX_SIDE / max(image.shape[:2]))
        if factor < 1:
            image = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        objects = DetDataSample(gt_instances=self._objects(picture_id))
        drawn = [self._draw(image, objects, factor, draw_pred=False)]
        for panel in self.panels:
            detections = DetDataSample(pred_instances=self._detections(picture_id, panel))
            drawn += [np.full((len(drawn[0]), GAP, 3), 255, np.uint8), self._draw(image, detections, factor)]
        return np.concatenate(drawn, axis=1)

    def _draw(self, image: np.ndarray, sample: DetDataSample, factor: float, draw_pred: bool = True) -> np.ndarray:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', UserWarning)  # of boxes that reach the border
            self.visualizer.add_datasample(
                'picture',
                image[..., ::-1],
                enlarged(sample, factor),
                draw_gt=not draw_pred,
                draw_pred=draw_pred,
                pred_score_thr=-np.inf,
            )
        return self.visualizer.get_image()[..., ::-1]

    def _read(self, picture_id: Any) -> np.ndarray:
        path, entry = self.truth.picture_path(picture_id), self.truth.coco.imgs[picture_id]
        content = read_picture(path)
        image = mmcv.imfrombytes(content)
        if image is not None and image.shape[:2] != (entry['height'], entry['width']):
            image = mmcv.imfrombytes(content, flag='color_ignore_orientation')  # as some annotations do
        if image is None:
            raise InputError(f'{path}: is no picture that can be read')
        return image

    def _objects(self, picture_id: Any) -> InstanceData:
        objects = [a for a in self.truth.coco.imgToAnns[picture_id] if a['category_id'] in self.names]
        return self._instances(objects, [CROWD if a['iscrowd'] else int(a['id'] in self.missed) for a in objects])

    def _detections(self, picture_id: Any, panel: Panel) -> InstanceData:
        found = sorted(panel.detections.imgToAnns[picture_id], key=lambda d: (d['id'] in panel.marked, d['score']))
        kinds = [CROWD if d['id'] in panel.ignored else int(d['id'] in panel.marked) for d in found]
        instances = self._instances(found, kinds)
        instances.scores = torch.tensor([d['score'] for d in found])
        return instances

    def _instances(self, annotations: list[dict], kinds: Iterable[int]) -> InstanceData:
        boxes = torch.tensor([a['bbox'] for a in annotations], dtype=torch.float32).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        return InstanceData(
            bboxes=boxes,
            labels=torch.tensor(list(kinds), dtype=torch.long),
            label_names=[self.names[a['category_id']] for a in annotations],
        )
