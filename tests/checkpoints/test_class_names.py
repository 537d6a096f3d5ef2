from contextlib import nullcontext
from types import SimpleNamespace

import pytest
from mmpretrain.datasets.categories import IMAGENET_CATEGORIES

from mmspartan.checkpoints.class_names import check_class_names, check_num_classes, check_same_labels, classes_of
from mmspartan.errors import InputError


@pytest.mark.parametrize(
    ('found', 'expected', 'refused'),
    [
        (('cat', 'dog'), ('cat', 'dog'), False),
        (('cat', 'dog'), ('dog', 'cat'), True),
        (('cat', 'dog', 'bird'), ('dog', 'fish', 'bird'), False),  # to be fine-tuned
        (('crane', 'maillot', 'crane'), ('crane', 'maillot', 'crane'), False),  # ImageNet has names twice
        (('0', '1'), ('cat', 'dog'), False),  # numbers for names
        (('bolt', 'nut', 'washer'), ('cat', 'dog'), False),  # to be fine-tuned
        ((), ('cat', 'dog'), False),
        (('cat', 'dog'), (), False),
    ],
)
def test_lists_that_contradict_each_other_are_refused(found, expected, refused):
    if not refused:
        return check_class_names(found, 'a.pth', expected, 'the dataset')
    with pytest.raises(InputError, match=rf'a\.pth: has \d classes \({", ".join(found)}\).*\({", ".join(expected)}\)'):
        check_class_names(found, 'a.pth', expected, 'the dataset')


def test_imagenets_own_list_agrees_with_itself():
    check_class_names(IMAGENET_CATEGORIES, 'a.pth', IMAGENET_CATEGORIES, 'the test set', same_number=True)


def test_name_at_another_place_is_refused_in_an_evaluation():
    with pytest.raises(InputError, match='in another order than'):
        check_class_names(('cat', 'dog', 'bird'), 'a.pth', ('dog', 'fish', 'bird'), 'the test set', same_number=True)


def test_other_number_of_classes_is_refused_where_it_has_to_be_the_same():
    with pytest.raises(InputError, match='not as many as'):
        check_class_names(('a', 'b', 'c'), 'a.pth', ('a', 'b'), 'the dataset', same_number=True)


@pytest.mark.parametrize(
    ('found', 'named'),
    [
        (('cat', 'dog', 'owl'), None),
        (('cat', 'dog'), None),  # without images of the last class
        (('0', '1', '2'), None),
        ((), None),
        (('dog', 'owl'), "'dog' is its label 0.*label 1"),  # the first folder is missing
        (('cat', 'dog', 'elk'), "'elk' is its label 2.*no class"),
        (('cat', 'dog', 'owl', 'elk'), "'elk' is its label 3.*no class"),
    ],
)
def test_datasets_that_are_trained_and_evaluated_on_share_their_labels(found, named):
    with nullcontext() if named is None else pytest.raises(InputError, match=rf'^val: {named}'):
        check_same_labels(found, 'val', ('cat', 'dog', 'owl'), 'train')
    check_same_labels(IMAGENET_CATEGORIES, 'val', IMAGENET_CATEGORIES, 'train')  # has names twice


def test_classes_of_a_checkpoint():
    assert classes_of(dict(meta=dict(dataset_meta=dict(classes=('a', 'b'))))) == ['a', 'b']
    assert classes_of(dict(meta=dict(dataset_meta=dict(CLASSES=['a'])))) == ['a']
    for content in (
        {},
        dict(meta=None),
        dict(meta=dict(dataset_meta=3)),
        dict(meta=dict(dataset_meta=dict(classes=3))),
    ):
        assert classes_of(content) == []


def test_number_of_classes_of_a_detector_is_that_of_its_training_set():
    model = SimpleNamespace(bbox_head=SimpleNamespace(num_classes=3))
    check_num_classes(model, SimpleNamespace(metainfo=dict(classes=('a', 'b', 'c'))))
    check_num_classes(SimpleNamespace(), SimpleNamespace(metainfo=dict(classes=('a',))))
    message = r'model\.bbox_head\.num_classes is 3, but the training set has 2 classes \(a, b\): set it to 2'
    with pytest.raises(InputError, match=message):
        check_num_classes(model, SimpleNamespace(metainfo=dict(classes=('a', 'b'))))
    with pytest.raises(InputError, match=r'the training set has no classes: metainfo\.classes'):
        check_num_classes(model, SimpleNamespace(metainfo=dict(classes=())))
