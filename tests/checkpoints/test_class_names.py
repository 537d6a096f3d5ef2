from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from mmpretrain.datasets.categories import IMAGENET_CATEGORIES
from torch import nn

from mmspartan.checkpoints.class_names import (
    check_class_names,
    check_num_classes,
    check_same_labels,
    classes_of,
    with_known_classes,
)
from mmspartan.errors import InputError

EVALUATION = dict(same_number=True)


@pytest.mark.parametrize(
    ('found', 'expected', 'options', 'refused'),
    [
        (('cat', 'dog'), ('cat', 'dog'), {}, None),
        (('cat', 'dog'), ('dog', 'cat'), {}, r'has 2 classes \(cat, dog\).*\(dog, cat\)'),
        (('cat', 'dog', 'bird'), ('dog', 'fish', 'bird'), {}, None),  # to be fine-tuned
        (('cat', 'dog', 'bird'), ('dog', 'fish', 'bird'), EVALUATION, 'in another order than'),
        (('a', 'b', 'c'), ('a', 'b'), EVALUATION, 'not as many as'),
        (('crane', 'maillot', 'crane'), ('crane', 'maillot', 'crane'), {}, None),  # ImageNet has names twice
        (IMAGENET_CATEGORIES, IMAGENET_CATEGORIES, EVALUATION, None),
        (('0', '1'), ('cat', 'dog'), {}, None),  # numbers for names
        (('bolt', 'nut', 'washer'), ('cat', 'dog'), {}, None),  # to be fine-tuned
        ((), ('cat', 'dog'), {}, None),
        (('cat', 'dog'), (), {}, None),
    ],
)
def test_lists_that_contradict_each_other_are_refused(found, expected, options, refused):
    with nullcontext() if refused is None else pytest.raises(InputError, match=rf'^a\.pth: .*{refused}'):
        check_class_names(found, 'a.pth', expected, 'the dataset', **options)


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


def test_classes_of_the_checkpoint_keep_their_rows():
    torch.manual_seed(0)
    before, now = nn.ModuleDict(), nn.ModuleDict()
    for model, count in ((before, 2), (now, 3)):
        model['scores'], model['labels'], model['boxes'] = (
            nn.Linear(5, count),
            nn.Embedding(count + 1, 5),
            nn.Linear(5, 4),
        )
    old, own = before.state_dict(), now.state_dict()
    weights, known = with_known_classes(now, old, ['cat', 'dog'], ['dog', 'cow', 'cat'])
    assert known == ['dog', 'cat']
    for key in ('scores.weight', 'scores.bias', 'labels.weight'):
        assert torch.equal(weights[key][[0, 2]], old[key][[1, 0]]) and torch.equal(weights[key][1], own[key][1])
    assert torch.equal(weights['labels.weight'][3], old['labels.weight'][2])  # of no class
    assert torch.equal(weights['boxes.weight'], old['boxes.weight'])
    assert with_known_classes(now, old, ['cat', 'dog'], ['a', 'b', 'c']) == (old, [])
    same = nn.ModuleDict(dict(cls_branches=nn.Linear(5, 2), other=nn.Linear(5, 2)))  # as many classes
    weights, known = with_known_classes(same, same.state_dict(), ['cat', 'dog'], ['dog', 'cow'])
    assert known == ['dog'] and torch.equal(weights['cls_branches.weight'][0], same['cls_branches'].weight[1])
    assert torch.equal(weights['other.weight'], same['other'].weight)


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


def test_hidden_folders_are_no_classes(tmp_path):
    (tmp_path / '.cache').mkdir()
    model = SimpleNamespace(head=SimpleNamespace(num_classes=2))
    folder = dict(img_path=str(tmp_path))
    characters = SimpleNamespace(metainfo=dict(classes=('.', '.x')), data_prefix=folder)  # no folders
    check_num_classes(model, characters)
    with pytest.raises(InputError, match=r'/\.cache: is no class of images; remove it'):
        check_num_classes(model, SimpleNamespace(metainfo=dict(classes=('.cache', 'a')), data_prefix=folder))


def test_number_of_classes_of_a_detector_is_that_of_its_training_set():
    model = SimpleNamespace(bbox_head=SimpleNamespace(num_classes=3))
    check_num_classes(model, SimpleNamespace(metainfo=dict(classes=('a', 'b', 'c'))))
    check_num_classes(SimpleNamespace(), SimpleNamespace(metainfo=dict(classes=('a',))))
    message = r'model\.bbox_head\.num_classes is 3, but the training set has 2 classes \(a, b\): set it to 2'
    with pytest.raises(InputError, match=message):
        check_num_classes(model, SimpleNamespace(metainfo=dict(classes=('a', 'b'))))
    with pytest.raises(InputError, match=r'model\.head\.num_classes is 3, but .*2 classes'):
        check_num_classes(SimpleNamespace(head=model.bbox_head), SimpleNamespace(metainfo=dict(classes=('a', 'b'))))
    of_coco = SimpleNamespace(metainfo=dict(classes=('a', 'b', 'c')), cat_ids=[5], ann_file='mine.json')
    with pytest.raises(InputError, match=r'mine\.json: has categories for 1 of the 3 classes .*\(a, b, c\): set'):
        check_num_classes(model, of_coco)
    with pytest.raises(InputError, match=r'the training set has no classes: metainfo\.classes'):
        check_num_classes(model, SimpleNamespace(metainfo=dict(classes=())))
