"""Compare the class names of a checkpoint, a dataset and a model."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import InputError


def classes_of(checkpoint: Mapping[str, Any]) -> list[str]:
    """Names of the classes that a checkpoint says it was trained on; [] if it does not say."""
    meta = checkpoint.get('meta')
    meta = meta.get('dataset_meta') if isinstance(meta, Mapping) else None
    names = meta.get('classes', meta.get('CLASSES')) if isinstance(meta, Mapping) else None
    return [str(name) for name in names] if isinstance(names, list | tuple) else []


def check_class_names(
    found: Sequence[str], source: str, expected: Sequence[str], other: str, same_number: bool = False
) -> None:
    """Refuse two lists of classes that contradict each other.

    Lists of different names are let through: a file may have numbers where a dataset has names, and a detector may be
    fine-tuned for other classes.

    Args:
        found: Names, by label, of ``source``; empty if it does not say.
        expected: Names of ``other``; empty if it does not say.
        same_number: For an evaluation: refuse lists of different length, and any name that both have at different
            places.

    Raises:
        InputError: If one list is the other in another order; shows both.
    """
    found, expected = list(found), list(expected)
    if not found or not expected or found == expected:
        return
    moved = any(name != other_name and name in expected for name, other_name in zip(found, expected))
    if sorted(found) == sorted(expected) or (same_number and len(found) == len(expected) and moved):
        why = 'in another order than'
    elif same_number and len(found) != len(expected):
        why = 'not as many as'
    else:
        return
    raise InputError(
        f'{source}: has {len(found)} classes ({_listed(found)}), {why} the {len(expected)} of {other} '
        f'({_listed(expected)}): evaluate and train with the same list'
    )


def check_num_classes(model: Any, dataset: Any) -> None:
    """Compare the number of classes of a detector with that of its training set.

    Raises:
        InputError: If ``model.bbox_head.num_classes`` is another number; names both.
    """
    classes = getattr(dataset, 'metainfo', {}).get('classes') or ()
    number = getattr(getattr(model, 'bbox_head', None), 'num_classes', None)
    if classes and number not in (None, len(classes)):
        raise InputError(
            f'model.bbox_head.num_classes is {number}, but the training set has {len(classes)} classes '
            f'({_listed(classes)}): set it to {len(classes)}'
        )


def _listed(names: Sequence[str]) -> str:
    return ', '.join(map(str, names[:10])) + (', ...' if len(names) > 10 else '')
