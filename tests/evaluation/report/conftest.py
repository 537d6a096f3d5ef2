import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config

from mmspartan.evaluation.report.ground_truth import GroundTruth

SIDE = 200


def an_object(image: int, category: int, x: float, side: float = 40, **entries) -> dict:
    """A square object at height 10."""
    return dict(image_id=image, category_id=category, bbox=[x, 10.0, side, side], **entries)


def a_detection(image: int, category: int, x: float, score: float, side: float = 40) -> dict:
    return dict(an_object(image, category, x, side), score=score)


def write_dataset(folder: Path, classes: dict[int, str], objects: list[dict], images: int = 3) -> Path:
    """Write images and ``val.json`` with classes by their ids; return the annotation file."""
    names = [f'{i}.png' for i in range(1, images + 1)]
    noise = np.random.default_rng(0)
    for name in names:
        cv2.imwrite(str(folder / name), noise.integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8))
    content = dict(
        images=[dict(id=i, file_name=name, width=SIDE, height=SIDE) for i, name in enumerate(names, 1)],
        categories=[dict(id=i, name=name) for i, name in classes.items()],
        annotations=[dict(a, id=i) for i, a in enumerate(objects, 1)],
    )
    (folder / 'val.json').write_text(json.dumps(content))
    return folder / 'val.json'


def config_of(folder: Path, classes: dict[int, str]) -> Config:
    dataset = dict(
        type='CheckedCocoDataset',
        data_root=str(folder),
        ann_file='val.json',
        data_prefix=dict(img=''),
        metainfo=dict(classes=list(classes.values())),
        test_mode=True,
    )
    return Config(
        dict(
            default_scope='mmdet',
            model=dict(bbox_head=dict()),
            test_dataloader=dict(dataset=dataset),
            test_evaluator=dict(type='CheckedCocoMetric', ann_file=str(folder / 'val.json')),
        )
    )


@pytest.fixture
def make_truth(tmp_path) -> Callable[..., GroundTruth]:
    """Returns the ground truth of classes, given as names by ids, and objects."""

    def run(classes: dict[int, str], objects: list[dict], images: int = 3) -> GroundTruth:
        write_dataset(tmp_path, classes, objects, images)
        return GroundTruth.of_config(config_of(tmp_path, classes))

    return run
