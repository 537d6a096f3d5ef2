"""Checks that a checkpoint, a dataset and a model have the same classes."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from mmspartan_cli import is_hidden_name

from ..errors import InputError
from .checkpoint import without_wrappers

# Names of modules that have a row for each class, in mmdet and mmpretrain.
BRANCHES = re.compile(r'cls_branches|label_embedding|fc_cls|\bhead\.fc\b')


def classes_of(checkpoint: Mapping[str, Any]) -> list[str]:
    """Return the class names that a checkpoint stores; [] if it stores none."""
    meta = checkpoint.get('meta')
    meta = meta.get('dataset_meta') if isinstance(meta, Mapping) else None
    names = meta.get('classes', meta.get('CLASSES')) if isinstance(meta, Mapping) else None
    return [str(name) for name in names] if isinstance(names, list | tuple) else []


def classes_of_dataset(dataset: Any) -> list[str]:
    """Return the class names of a dataset in the order of their labels; [] if it has none."""
    return list((getattr(dataset, 'metainfo', None) or {}).get('classes') or ())


def with_known_classes(
    model: nn.Module, weights: Mapping[str, Any], before: Sequence[str], now: Sequence[str]
) -> tuple[dict[str, Any], list[str]]:
    """Give the classes that a checkpoint has as well their weights, where the classes differ.

    These are the weights with a row for each class, or one more: a label embedding has a last row for no class. Where
    the numbers of classes are equal, only modules with the usual names of class branches count.

    Args:
        weights: Of the checkpoint, whose classes are ``before``.
        now: Classes of the model.

    Returns:
        tuple: The weights, with the model's own rows for new classes; and the common classes.
    """
    rows = {i: before.index(name) for i, name in enumerate(now) if name in before}
    changed: dict[str, Any] = {}
    targets = without_wrappers(model).state_dict() if rows and list(before) != list(now) else {}
    for key, value in weights.items():
        target = targets.get(key)
        if not isinstance(value, Tensor) or target is None or not value.dim() or value.shape[1:] != target.shape[1:]:
            continue
        for extra in (0, 1):
            sizes = len(before) + extra, len(now) + extra
            if (len(value), len(target)) == sizes and (len(before) != len(now) or BRANCHES.search(key)):
                changed[key] = target.clone()
                for row, source in [*rows.items(), *([(len(now), len(before))] if extra else [])]:
                    changed[key][row] = value[source]
    return {**weights, **changed}, [now[i] for i in rows] if changed else []


def check_class_names(
    found: Sequence[str], source: str, expected: Sequence[str], target: str, same_number: bool = False
) -> None:
    """Check that two lists of class names do not contradict each other.

    Lists of different names are accepted: a file may have numbers where a dataset has names, and a detector may be
    fine-tuned for other classes.

    Args:
        found: Names in ``source`` in the order of the labels; empty if it has none.
        source: Name of the checkpoint or file in the error message.
        expected: Names in ``target``; empty if it has none.
        target: Name of the dataset or model in the error message.
        same_number: Also require lists of the same length without a name that has two different labels, as an
            evaluation does.

    Raises:
        InputError: If one list is the other one in another order. The message shows both.
    """
    found, expected = list(found), list(expected)
    if not found or not expected or found == expected:
        return
    moved = any(name != same_label and name in expected for name, same_label in zip(found, expected))
    if sorted(found) == sorted(expected) or (same_number and len(found) == len(expected) and moved):
        why = 'in another order than'
    elif same_number and len(found) != len(expected):
        why = 'not as many as'
    else:
        return
    raise InputError(
        f'{source}: has {len(found)} classes ({_listed(found)}), {why} the {len(expected)} of {target} '
        f'({_listed(expected)}): evaluate and train with the same list'
    )


def check_same_labels(found: Sequence[str], source: str, expected: Sequence[str], target: str) -> None:
    """Check that two datasets have the same label for each class that they share.

    Args:
        found: Names in ``source`` in the order of the labels; a part of ``expected`` may be missing at its end.
        source: Name of the dataset in the error message.
        expected: Names in ``target``.
        target: Name of the other dataset in the error message.

    Raises:
        InputError: If a class has another label, or one of them is not in ``target``. The message names the first one.
    """
    labels = {name: label for label, name in enumerate(expected)}
    if list(found) == list(expected[: len(found)]) or not labels.keys() & set(found):
        return  # without a common name they may be numbers
    for label, name in enumerate(found):
        if labels.get(name) != label:
            known = f'is label {labels[name]} of {target}' if name in labels else f'is no class of {target}'
            raise InputError(
                f'{source}: {name!r} is its label {label}, and {known} ({_listed(found)}; {_listed(expected)}): both '
                'need the same classes, as folders of images an empty one for a class without images'
            )


def check_num_classes(model: Any, dataset: Any) -> None:
    """Check that a detector or a classifier has as many classes as its training set.

    Raises InputError if ``num_classes`` of the head is another number, the training set has an empty list of classes,
    classes that its annotation file does not have, or a hidden folder as one of its classes.
    """
    classes = classes_of_dataset(dataset)
    head = 'bbox_head' if hasattr(model, 'bbox_head') else 'head'
    number = getattr(getattr(model, head, None), 'num_classes', None)
    prefix = getattr(dataset, 'data_prefix', None)  # that of mmpretrain's CIFAR10 and MNIST has no img_path
    folder = Path((prefix.get('img_path') if isinstance(prefix, dict) else None) or '.')
    named = [name for name in map(str, classes) if is_hidden_name(name) and name not in ('.', '..')]
    hidden = [name for name in named if (folder / name).is_dir()]
    if hidden:
        raise InputError(f'{folder / hidden[0]}: is no class of images; remove it from the training set')
    known = getattr(dataset, 'cat_ids', classes)  # of mmdet's CocoDataset: of the classes that its file has
    if len(known) < len(classes):
        raise InputError(
            f'{dataset.ann_file}: has categories for {len(known)} of the {len(classes)} classes of the training set '
            f'({_listed(classes)}): set metainfo=dict(classes=...) of the datasets to the categories of the file'
        )
    is_empty = (getattr(dataset, 'metainfo', None) or {}).get('classes') in ((), [])
    if is_empty and number is not None:
        raise InputError('the training set has no classes: metainfo.classes of its dataset is empty')
    if classes and number not in (None, len(classes)):
        raise InputError(
            f'model.{head}.num_classes is {number}, but the training set has {len(classes)} classes '
            f'({_listed(classes)}): set it to {len(classes)}'
        )


def _listed(names: Sequence[str]) -> str:
    return ', '.join(map(str, names[:10])) + (', ...' if len(names) > 10 else '')
