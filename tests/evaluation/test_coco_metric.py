"""COCO mAP is right for annotations as people have them, and refused for predictions that are none."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from faster_coco_eval.core.faster_eval_api import COCOeval_faster
from mmengine.registry import METRICS
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmspartan.errors import InputError
from mmspartan.evaluation.limited_eval import crowded, limited
from mmspartan.runs.hooks.finite_hook import NonFiniteError

BOXES = [[40.0 * i, 5.0, 30.0, 30.0] for i in range(3)]


@pytest.fixture
def write(tmp_path):
    def run(first: int = 1, **entries) -> str:
        common = dict(image_id=1, category_id=1, area=900, iscrowd=0)
        annotations = [dict(common, id=first + i, bbox=box) for i, box in enumerate(BOXES)]
        content = dict(
            images=[dict(id=1, file_name='a.png', width=200, height=50)],
            categories=[dict(id=1, name='x'), dict(id=2, name='y')],
            annotations=annotations,
        )
        (tmp_path / 'a.json').write_text(json.dumps({**content, **entries}))
        return str(tmp_path / 'a.json')

    return run


def evaluate(metric, boxes=BOXES, score: float = 0.9, scores=None) -> dict:
    boxes = torch.tensor(boxes)
    boxes = torch.cat([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1)
    predicted = dict(
        bboxes=boxes,
        scores=torch.full((len(boxes),), score) if scores is None else scores,
        labels=torch.zeros(len(boxes)).long(),
    )
    metric.dataset_meta = dict(classes=('x', 'y'))
    metric.process({}, [dict(img_id=1, ori_shape=(50, 200), pred_instances=predicted)])
    return metric.evaluate(1)


@pytest.mark.parametrize('kind', ['CheckedCocoMetric', 'FasterCocoMetric'])
@pytest.mark.parametrize('first', [1, 0])
def test_perfect_boxes_have_ap_1_whatever_the_annotations_are_numbered_from(kind, first, write):
    found = evaluate(METRICS.build(dict(type=kind, ann_file=write(first))))
    assert found['coco/bbox_mAP'] == pytest.approx(1.0) and found['coco/bbox_mAP_75'] == pytest.approx(1.0)


def test_image_with_more_objects_than_detections_that_count_is_named(write):
    coco = COCO(write())
    told = crowded(coco, 2)
    assert told.startswith('image 1 has 3 objects') and crowded(coco, 3) is None
    coco.dataset['annotations'][0]['iscrowd'] = 1
    assert crowded(coco, 2) is None


@pytest.mark.parametrize('kind', ['CheckedCocoMetric', 'FasterCocoMetric'])
@pytest.mark.parametrize(('limits', 'expected'), [(None, 67 / 101), ((1, 10, 300), 1), ((100, 300, 1000), 1)])
def test_every_ap_has_one_limit_of_detections(kind, limits, expected, write, capsys):
    boxes = [[12.0 * (i % 15), 12.0 * (i // 15), 10, 10] for i in range(150)]
    objects = [dict(id=i, image_id=1, category_id=1, area=100, iscrowd=0, bbox=box) for i, box in enumerate(boxes, 1)]
    image = dict(id=1, file_name='a.png', width=200, height=200)
    options = dict(type=kind, ann_file=write(annotations=objects, images=[image]), proposal_nums=limits, classwise=True)
    found = evaluate(METRICS.build(options), boxes, scores=torch.linspace(0.9, 0.5, 150))
    for name in ('coco/bbox_mAP', 'coco/bbox_mAP_50', 'coco/bbox_mAP_s', 'coco/x_precision'):
        assert found[name] == pytest.approx(expected, abs=6e-4), name


@pytest.mark.parametrize('limits', [(300,), (300, 100, 10), (1, 10, '100'), 100])
def test_limits_that_are_none_are_refused(limits, write):
    with pytest.raises(InputError, match='proposal_nums'):
        METRICS.build(dict(type='CheckedCocoMetric', ann_file=write(), proposal_nums=limits))


IMAGE = dict(id=1, file_name='a.png', width=500, height=500)


def scattered() -> tuple[list[dict], list[dict]]:
    """Objects and detections of several classes, sizes and scores, of which some are wrong."""
    rng = np.random.RandomState(0)
    boxes = (
        np.concatenate([rng.uniform(0, 300, (40, 2)), rng.choice([20.0, 60.0, 150.0], (40, 2))], 1).round(1).tolist()
    )
    objects = [
        dict(id=i, image_id=1, category_id=1 + i % 2, area=box[2] * box[3], iscrowd=0, bbox=box)
        for i, box in enumerate(boxes, 1)
    ]
    found = [dict(a, score=float(rng.rand()), bbox=[v + rng.uniform(-4, 4) for v in a['bbox']]) for a in objects[:30]]
    return objects, found


def test_numbers_are_those_of_pycocotools_at_its_own_limits(write, capsys):
    objects, found = scattered()
    truth = COCO()
    truth.dataset = json.loads(Path(write(annotations=objects, images=[IMAGE])).read_text())
    truth.createIndex()
    runs = []
    for kind in (COCOeval, limited(COCOeval, -1), limited(COCOeval_faster, -1)):
        run = kind(truth, truth.loadRes(found), 'bbox')
        run.evaluate()
        run.accumulate()
        capsys.readouterr()
        run.summarize()
        runs.append((run.stats, capsys.readouterr().out))
    (expected, printed), (ours, ours_printed), (faster, _) = runs
    assert np.allclose(ours, expected) and np.allclose(faster[:12], expected) and 0.1 < expected[0] < 0.9
    assert ours_printed == printed


@pytest.mark.parametrize(('boxes', 'score'), [([[np.nan, 5.0, 30.0, 30.0]], 0.9), (BOXES, np.nan), (BOXES, np.inf)])
def test_predictions_that_are_not_finite_are_refused(boxes, score, write):
    with pytest.raises(NonFiniteError, match='not finite for image 1'):
        evaluate(METRICS.build(dict(type='CheckedCocoMetric', ann_file=write())), boxes, score)


def test_classes_are_compared_before_the_evaluation(write):
    metric = METRICS.build(dict(type='CheckedCocoMetric', ann_file=write()))
    with pytest.raises(InputError, match="the dataset's classes has another order than the file"):
        metric.dataset_meta = dict(classes=('y', 'x'))
    with pytest.raises(InputError, match=r"no category is called \['z'\]"):
        metric.dataset_meta = dict(classes=('x', 'z'))


def test_table_of_classes_with_exchanged_names_is_refused(write):
    """mmdet looks AP up in the order of the file, pycocotools has it in the order of the ids."""
    path = write(categories=[dict(id=2, name='x'), dict(id=1, name='y')])
    metric = METRICS.build(dict(type='CheckedCocoMetric', ann_file=path, classwise=True))
    with pytest.raises(InputError, match=r'a\.json: the ids of its categories do not ascend'):
        metric.dataset_meta = dict(classes=('x', 'y'))
    METRICS.build(dict(type='CheckedCocoMetric', ann_file=path)).dataset_meta = dict(classes=('x', 'y'))


def test_file_without_annotations_is_refused_unless_results_are_only_written(write, tmp_path):
    path = write(annotations=[])
    with pytest.raises(InputError, match=r'a\.json: has no annotations to compare with'):
        METRICS.build(dict(type='CheckedCocoMetric', ann_file=path))
    options = dict(format_only=True, outfile_prefix=str(tmp_path / 'found'))
    evaluate(METRICS.build(dict(type='CheckedCocoMetric', ann_file=path, **options)))
    assert len(json.loads((tmp_path / 'found.bbox.json').read_text())) == 3
