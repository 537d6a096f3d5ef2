"""Whether what was trained and what is evaluated call the same things by the same numbers."""

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
        same_number: Refuse lists of different length too.

    Raises:
        InputError: If lists of one length have a name in common that stands at another place; shows both.
    """
    if not found or not expected:
        return
    moved = [name for i, name in enumerate(found) if name in expected and list(expected).index(name) != i]
    if len(found) == len(expected) and not moved:
        return
    if len(found) != len(expected) and not same_number:
        return
    why = 'in another order than' if len(found) == len(expected) else 'not as many as'
    raise InputError(
        f'{source}: has {len(found)} classes ({_listed(found)}), {why} the {len(expected)} of {other} '
        f'({_listed(expected)}): evaluate and train with the same list'
    )


def _listed(names: Sequence[str]) -> str:
    return ', '.join(map(str, names[:10])) + (', ...' if len(names) > 10 else '')
