"""What a reader of a drawn image sees: the strongest label of each box, whole, on any background."""

import cv2
import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.registry import VISUALIZERS
from mmengine.structures import InstanceData

BOX = (100, 100, 180, 160)
GRASS = (60, 140, 50)  # RGB


def drawn(path, detections, image=None, **options) -> np.ndarray:
    """Draw detections (label, score, box) as mmdet's hooks and inferencers do, and read the RGB image."""
    labels, scores, boxes = zip(*detections)
    found = InstanceData(labels=torch.tensor(labels), scores=torch.tensor(scores), bboxes=torch.tensor(boxes).float())
    sample = DetDataSample(pred_instances=found)
    before = sample.clone()
    visualizer = VISUALIZERS.build(dict(type='LegibleDetLocalVisualizer', name=str(path), **options))
    visualizer.dataset_meta = dict(classes=[str(digit) for digit in range(10)], palette=[(0, 255, 0)] * 10)
    image = np.full((300, 400, 3), GRASS, dtype=np.uint8) if image is None else image
    visualizer.add_datasample('x', image, sample, draw_gt=False, out_file=str(path))
    for key, value in found.items():
        torch.testing.assert_close(value, before.pred_instances[key], rtol=0, atol=0, equal_nan=True)
    return cv2.imread(str(path))[..., ::-1]


def test_the_strongest_of_several_classes_is_the_one_that_is_read(tmp_path):
    alone = drawn(tmp_path / 'a.png', [(9, 0.9, BOX)])
    assert (alone != GRASS).any()
    # exactly the same box, and one of another query that differs by a pixel, in any order
    weaker = [(4, 0.5, BOX), (7, 0.4, (101, 100, 181, 160))]
    for detections in ([(9, 0.9, BOX), *weaker], [*weaker, (9, 0.9, BOX)]):
        assert np.array_equal(drawn(tmp_path / 'b.png', detections), alone)


def test_images_of_one_name_have_files_of_their_own(tmp_path):
    """mmdet's hook names drawn images like their files, without the folders."""
    visualizer = VISUALIZERS.build(dict(type='LegibleDetLocalVisualizer', name='names'))
    found = InstanceData(labels=torch.tensor([0]), bboxes=torch.tensor([BOX]).float())
    for source in ('day1/a.png', 'day2/a.png', 'x/day2/a.png', 'day1/a.png'):
        sample = DetDataSample(gt_instances=found, metainfo=dict(img_path=source))
        image = np.full((300, 400, 3), GRASS, dtype=np.uint8)
        visualizer.add_datasample('x', image, sample, draw_pred=False, out_file=str(tmp_path / 'a.png'))
    assert {path.name for path in tmp_path.iterdir()} == {'a.png', 'day2_a.png', 'x_day2_a.png'}


def test_boxes_that_are_no_numbers_are_left_out(tmp_path):
    broken = (float('nan'), 100, 180, 160)
    alone = drawn(tmp_path / 'a.png', [(9, 0.5, BOX)])
    assert np.array_equal(drawn(tmp_path / 'b.png', [(4, 0.9, broken), (9, 0.5, BOX)]), alone)


def test_boxes_and_labels_of_stronger_detections_lie_on_top(tmp_path):
    crossing = [(1, 0.4, (120, 60, 160, 220)), (2, 0.8, BOX)]
    both = drawn(tmp_path / 'a.png', crossing)
    strong = drawn(tmp_path / 'b.png', crossing[1:])
    is_drawn = (strong != GRASS).any(-1)
    assert np.array_equal(both[is_drawn], strong[is_drawn])


def test_labels_of_near_objects_do_not_hide_each_other(tmp_path):
    """The pixels of both labels are those that each has when it is drawn alone, wherever it is put."""
    near = [(3, 0.9, BOX), (8, 0.7, (125, 100, 205, 160))]
    both = drawn(tmp_path / 'a.png', near)
    for detection in near:
        alone = drawn(tmp_path / 'b.png', [detection])
        left, top = detection[2][0] + 3, detection[2][1] - 12
        label = alone[top : top + 8, left : left + 40]
        assert len(np.unique(label.reshape(-1, 3), axis=0)) > 5  # letters on their ground
        assert cv2.matchTemplate(both, label, cv2.TM_SQDIFF).min() < 100  # rounding; one pixel differs by 10,000


def test_lines_and_letters_grow_with_the_image_and_stand_out(tmp_path):
    for factor in (1, 8):
        image = np.full((300 * factor, 400 * factor, 3), GRASS, dtype=np.uint8)
        box = tuple(factor * side for side in BOX)
        result = drawn(tmp_path / 'a.png', [(0, 0.9, box)], image)
        row = result[130 * factor, : 140 * factor].astype(int)
        line = np.flatnonzero(np.abs(row - GRASS).sum(-1) > 150)
        assert len(line) >= max(3, 2 * factor)
        label = (result[: box[1] - 4 * factor] != GRASS).any(-1).any(1)
        assert label.sum() >= 10 * max(1, factor // 2)


def test_small_images_are_enlarged_with_their_boxes(tmp_path):
    image = np.zeros((16, 16, 3), dtype=np.uint8)
    result = drawn(tmp_path / 'small.png', [(0, 1.0, (4, 4, 12, 12))], image, min_side=150, bbox_color=(255, 0, 0))
    assert result.shape == (160, 160, 3)  # ten times 16
    is_line = (result == (255, 0, 0)).all(-1)
    assert np.flatnonzero(is_line.all(0, where=(np.arange(160) > 60)[:, None] & (np.arange(160) < 100)[:, None])).size
    rows, columns = np.where(is_line)
    assert abs(columns.max() - 120) <= 2 and abs(rows.max() - 120) <= 2


@pytest.mark.parametrize('shape', [(200, 200), (1, 20000), (20000, 1)])
def test_large_and_thin_images_keep_their_size(shape, tmp_path):
    image = np.zeros((*shape, 3), dtype=np.uint8)
    assert drawn(tmp_path / 'x.png', [(0, 1.0, (0, 0, 1, 1))], image, min_side=150).shape == image.shape


def test_detections_of_nothing_and_masks_are_drawn(tmp_path):
    visualizer = VISUALIZERS.build(dict(type='LegibleDetLocalVisualizer', name='empty'))
    image = np.full((300, 400, 3), GRASS, dtype=np.uint8)
    nothing = InstanceData(labels=torch.zeros(0).long(), scores=torch.zeros(0), bboxes=torch.zeros(0, 4))
    visualizer.add_datasample('x', image, DetDataSample(pred_instances=nothing), draw_gt=False)
    assert np.array_equal(visualizer.get_image(), image)
    masks = torch.zeros(2, 300, 400, dtype=torch.bool)
    masks[:, 110:150, 110:170] = True
    found = InstanceData(
        labels=torch.tensor([0, 1]),
        scores=torch.tensor([0.5, 0.9]),
        bboxes=torch.tensor([BOX, BOX]).float(),
        masks=masks,
    )
    visualizer.dataset_meta = dict(classes=('a', 'b'), palette=[(255, 0, 0), (0, 0, 255)])
    visualizer.add_datasample('x', image, DetDataSample(pred_instances=found), draw_gt=False)
    red, _, blue = visualizer.get_image()[130, 140].astype(int)
    assert blue > red + 50  # the mask of the stronger one alone
