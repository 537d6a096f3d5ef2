import pytest

from mmspartan.engine.class_names import check_class_names, classes_of
from mmspartan.errors import InputError


@pytest.mark.parametrize(
    ('found', 'expected', 'refused'),
    [
        (('cat', 'dog'), ('cat', 'dog'), False),
        (('cat', 'dog'), ('dog', 'cat'), True),
        (('cat', 'dog', 'bird'), ('dog', 'fish', 'bird'), True),  # one of them has moved
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


def test_other_number_of_classes_is_refused_where_it_has_to_be_the_same():
    with pytest.raises(InputError, match='not as many as'):
        check_class_names(('a', 'b', 'c'), 'a.pth', ('a', 'b'), 'the dataset', same_number=True)


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
