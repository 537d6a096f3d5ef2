"""The digits, as classification and as detection data."""

import json

import cv2
import numpy as np
import pytest
from mmpretrain.registry import DATASETS

import mmspartan.datasets.digits  # noqa: F401
from mmspartan.datasets.digits_split import load_digits_split
from tests.conftest import ROOT, last_line
from tests.docs.scripts import run_here


def test_split_is_fixed_and_disjoint():
    (train, train_labels), (test, test_labels) = load_digits_split('train'), load_digits_split('test')
    assert (len(train), len(test)) == (1438, 359)
    assert train.dtype == np.uint8 and train.shape[1:] == (8, 8, 3) and train.max() == 255
    assert test_labels[:5].tolist() == [4, 9, 4, 9, 4] and set(train_labels) == set(range(10))


def test_dataset_of_mmpretrain():
    dataset = DATASETS.build(dict(type='mmpretrain.SklearnDigits', split='test', pipeline=[]))
    assert len(dataset) == 359 and dataset[0]['gt_label'] == 4 and dataset.metainfo['classes'][4] == '4'
    with pytest.raises(ValueError, match="got 'val'"):
        DATASETS.build(dict(type='mmpretrain.SklearnDigits', split='val', pipeline=[]))


SCRIPT = 'dataset_converters/digits_to_coco.py'


def arguments(name: str, seed: int = 0) -> list:
    return ['--out', name, '--train', 3, '--val', 2, '--size', 96, '--seed', seed]


@pytest.fixture
def convert(tmp_path):
    def run(name: str, *options: str, seed: int = 0) -> str:
        return run_here(ROOT / 'tools' / SCRIPT, *arguments(name, seed), *options, cwd=tmp_path)

    return run


def test_scenes_are_the_same_for_the_same_seed_and_boxes_hold_the_ink(convert, tmp_path):
    for name, seed in dict(a=0, b=0, c=1).items():
        convert(name, seed=seed)
    for path in ('train.json', 'val.json', 'train/00001.png', 'val/00000.png'):
        assert (tmp_path / 'a' / path).read_bytes() == (tmp_path / 'b' / path).read_bytes()
        assert (tmp_path / 'a' / path).read_bytes() != (tmp_path / 'c' / path).read_bytes()
    coco = json.loads((tmp_path / 'a' / 'train.json').read_text())
    assert [category['name'] for category in coco['categories']] == list('0123456789')
    assert len(coco['images']) == 3 and coco['annotations']
    for annotation in coco['annotations']:
        x, y, w, h = annotation['bbox']
        assert 0 <= x < x + w <= 96 and 0 <= y < y + h <= 96 and min(w, h) >= 3


def test_masks_and_key_points_belong_to_the_boxes(convert, tmp_path):
    convert('a')
    convert('dense', '--masks', '--keypoints')
    coco = json.loads((tmp_path / 'dense' / 'train.json').read_text())
    for image in coco['images']:
        name = image['file_name']
        assert (tmp_path / 'dense' / 'train' / name).read_bytes() == (tmp_path / 'a' / 'train' / name).read_bytes()
        mask = cv2.imread(str(tmp_path / 'dense' / 'train_masks' / name), cv2.IMREAD_UNCHANGED)
        outside = mask.copy()
        for annotation in [a for a in coco['annotations'] if a['image_id'] == image['id']]:
            x, y, w, h = annotation['bbox']
            outside[y : y + h, x : x + w] = 0
            inside = mask[y : y + h, x : x + w] == annotation['category_id']
            assert 0.1 < inside.mean() < 0.9
            top, right, bottom, left = np.reshape(annotation['keypoints'], (4, 3))[:, :2]
            assert (top[1], right[0], bottom[1], left[0]) == (y, x + w - 1, y + h - 1, x)
            assert x <= min(top[0], bottom[0]) <= max(top[0], bottom[0]) < x + w
        assert mask.any() and not outside.any()


def test_what_is_there_is_kept(convert, tmp_path):
    convert('a')
    before = (tmp_path / 'a' / 'train.json').stat().st_mtime_ns
    assert 'already there' in convert('a')
    assert (tmp_path / 'a' / 'train.json').stat().st_mtime_ns == before
    refused = last_line(SCRIPT, *arguments('a', seed=1), cwd=tmp_path)
    assert 'a exists and was not made with these arguments' in refused
