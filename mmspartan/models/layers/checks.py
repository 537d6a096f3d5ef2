"""Checks of constructor arguments: one line a kind, one wording of the error.

Each takes the name of the class and the options by keyword, and raises a ValueError that names class, option, value
and what is allowed. ``True`` and ``False`` are no numbers here, and NaN and infinity are in no range.
"""

import math
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any


def is_integer(value: Any, low: int = 1, high: float = math.inf) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and low <= value <= high


def refuse(owner: str, name: str, allowed: str, value: Any) -> None:
    """
    Raises:
        ValueError: Always.
    """
    raise ValueError(f'{owner}: {name} must be {allowed}, got {value!r}')


def check_integers(owner: str, low: int = 1, high: float = math.inf, /, **options: Any) -> None:
    """Integers in ``low..high``."""
    if high < math.inf:
        allowed = f'an integer in {low}..{high}'
    else:
        allowed = 'a positive integer' if low == 1 else f'an integer of at least {low}'
    for name, value in options.items():
        if not is_integer(value, low, high):
            refuse(owner, name, allowed, value)


def check_numbers(owner: str, low: float = 0, high: float = math.inf, /, **options: Any) -> None:
    """Finite numbers in ``[low, high]``."""
    allowed = f'in [{low}, {high}]' if high < math.inf else f'a finite number of at least {low}'
    for name, value in options.items():
        is_number = isinstance(value, Real) and not isinstance(value, bool)
        if not (is_number and math.isfinite(value) and low <= value <= high):
            refuse(owner, name, allowed, value)


def check_flags(owner: str, **options: Any) -> None:
    """``True`` or ``False``, and not a string that says so."""
    for name, value in options.items():
        if not isinstance(value, bool):
            refuse(owner, name, 'True or False', value)


def check_choices(owner: str, allowed: Iterable[Any], **options: Any) -> None:
    """One of the values ``allowed``."""
    allowed = list(allowed)
    for name, value in options.items():
        if not any(type(value) is type(choice) and value == choice for choice in allowed):
            refuse(owner, name, f'one of {allowed}', value)


def check_multiple(owner: str, name: str, value: Any, of: int, what: str = '') -> None:
    """A positive multiple of ``of``, which ``what`` names where it is an option itself."""
    if not is_integer(value) or value % of:
        refuse(owner, name, f'a positive multiple of {what}{of}', value)
