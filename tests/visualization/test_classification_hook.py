"""Drawn predictions of a classifier: the image's own colors, and a file for each image."""

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import VISUALIZERS
from mmpretrain.registry import HOOKS
from mmpretrain.structures import DataSample

SIZE = 40


@pytest.fixture
def hook(tmp_path):
    VISUALIZERS.build(dict(type='mmpretrain.UniversalVisualizer', name='classes')).dataset_meta = dict(classes='ab')
    return HOOKS.build(dict(type='BGRVisualizationHook', enable=True, interval=2, out_dir=str(tmp_path / 'drawn')))


def test_images_have_their_colors_and_those_of_one_name_their_own_files(hook, tmp_path):
    colors = [(0, 0, 255), (9, 9, 9), (255, 0, 0), (0, 255, 0)]  # BGR; the second is between those drawn
    images = torch.tensor(colors, dtype=torch.uint8)[..., None, None].expand(4, 3, SIZE, SIZE)
    samples = [DataSample(metainfo=dict(img_path=f'data/{name}/1.jpg')) for name in ('a', 'x', 'b', 'c')]
    for sample in samples:
        sample.set_gt_label(0).set_pred_label(1).set_pred_score(torch.tensor([0.2, 0.8]))
    for batch in range(2):  # of two images
        chosen = slice(2 * batch, 2 * batch + 2)
        hook.after_test_iter(None, batch, dict(inputs=images[chosen]), samples[chosen])
    found = {path.name: cv2.imread(str(path)) for path in (tmp_path / 'drawn').iterdir()}
    assert found.keys() == {'1.jpg_0.png', 'b_1.jpg_0.png'}
    for name, color in ('1.jpg_0.png', colors[0]), ('b_1.jpg_0.png', colors[2]):
        assert found[name].shape[:2] == (240, 240) and np.abs(found[name][-20:] - np.array(color)).max() < 3
        assert np.ptp(found[name][:120], axis=(0, 1)).max() > 100  # what is written


def test_images_without_a_file_have_their_numbers(hook, tmp_path):
    for batch, count in enumerate((3, 3, 2)):  # every second one of eight
        inputs = torch.zeros(count, 3, SIZE, SIZE)
        hook.after_test_iter(None, batch, dict(inputs=inputs), [DataSample() for _ in range(count)])
    assert {path.name for path in (tmp_path / 'drawn').iterdir()} == {f'{i}_0.png' for i in (0, 2, 4, 6)}
