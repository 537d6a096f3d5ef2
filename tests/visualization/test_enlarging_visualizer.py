"""Small pictures are enlarged together with their boxes, and the data sample stays as it is."""

import cv2
import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmengine.registry import VISUALIZERS
from mmengine.structures import InstanceData


def drawn(path, side: int, **options) -> np.ndarray:
    box = torch.tensor([[4.0, 4.0, 12.0, 12.0]])
    sample = DetDataSample(
        pred_instances=InstanceData(bboxes=box, labels=torch.zeros(1, dtype=int), scores=torch.ones(1))
    )
    visualizer = VISUALIZERS.build(dict(type='EnlargingDetLocalVisualizer', name=str(path), **options))
    visualizer.dataset_meta = dict(classes=('a',), palette=[(0, 255, 0)])
    image = np.zeros((side, side, 3), dtype=np.uint8)
    visualizer.add_datasample('x', image, sample, draw_gt=False, out_file=str(path))
    assert torch.equal(sample.pred_instances.bboxes, box)
    return cv2.imread(str(path))


def test_small_pictures_are_enlarged_with_their_boxes(tmp_path):
    picture = drawn(tmp_path / 'small.png', 16, min_side=150)
    assert picture.shape == (160, 160, 3)  # ten times 16
    rows, columns = np.where(picture[..., 1] > 100)
    assert abs(columns.max() - 120) <= 4 and abs(rows.max() - 120) <= 4


def test_large_pictures_are_drawn_as_they_are(tmp_path):
    assert drawn(tmp_path / 'large.png', 200, min_side=150).shape == (200, 200, 3)
