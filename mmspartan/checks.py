"""Checks of constructor arguments, with error messages in one form.

Each check takes the name of a class, and its options by keyword. If an option is not valid, it raises an OptionError
that names the class, the option, its value and the valid values. ``True`` and ``False`` do not count as numbers, and
NaN and infinity are in no interval.
"""

import math
from collections.abc import Iterable, Sized
from numbers import Integral, Real
from typing import Any, NoReturn

import torch
from torch import nn

from .errors import OptionError


def refuse(owner: str, name: str, allowed: str, value: Any) -> NoReturn:
    """Raise the error for an option that is not valid.

    Raises:
        OptionError: Always.
    """
    raise OptionError(f'{owner}: {name} must be {allowed}, got {value!r}', owner=owner, option=name, value=value)


def check_levels(owner: str, layers: Sized, feats: Sized) -> None:
    """Check that there is a layer for each feature map; torch 2.1 does not compile ``zip`` with ``strict``."""
    if len(layers) != len(feats):
        refuse(owner, 'the number of feature maps', str(len(layers)), len(feats))


def is_integer(value: Any, low: int = 1, high: float = math.inf) -> bool:
    """Whether ``value`` is an integer in ``low..high`` and not a bool."""
    is_integral = isinstance(value, Integral) and not isinstance(value, bool)
    return is_integral and low <= value <= high


def check_integers(owner: str, low: int = 1, high: float = math.inf, /, **options: Any) -> None:
    """Check that options are integers in ``low..high``."""
    if high < math.inf:
        allowed = f'an integer in {low}..{high}'
    else:
        allowed = 'a positive integer' if low == 1 else f'an integer of at least {low}'
    for name, value in options.items():
        if not is_integer(value, low, high):
            refuse(owner, name, allowed, value)


def check_multiples(owner: str, of: int, /, **options: Any) -> None:
    """Check that options are positive multiples of an integer."""
    for name, value in options.items():
        if not is_integer(value) or value % of:
            refuse(owner, name, f'a positive multiple of {of}', value)


def check_numbers(owner: str, interval: str, /, **options: Any) -> None:
    """Check that options are finite numbers in an interval, given as ``'[0, 1)'`` or ``'[0, inf)'``."""
    low, high = map(float, interval[1:-1].split(','))
    for name, value in options.items():
        is_number = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
        if (
            not is_number
            or not low <= value <= high
            or (value == low and interval[0] == '(')
            or (value == high and interval[-1] == ')')
        ):
            refuse(owner, name, f'in {interval}', value)


def check_range(owner: str, interval: str, /, **options: Any) -> None:
    """Check that options are two finite numbers each, the lower one first, in an interval such as ``'[0, 1]'``."""
    for name, values in options.items():
        if not isinstance(values, list | tuple) or len(values) != 2:
            refuse(owner, name, 'two numbers', values)
        check_numbers(owner, interval, **{f'{name}[{i}]': value for i, value in enumerate(values)})
        if values[0] > values[1]:
            refuse(owner, name, 'two numbers, the lower one first', values)


def check_flags(owner: str, **options: Any) -> None:
    """Check that options are ``True`` or ``False``."""
    for name, value in options.items():
        if not isinstance(value, bool):
            refuse(owner, name, 'True or False', value)


def check_choices(owner: str, allowed: Iterable[Any], /, **options: Any) -> None:
    """Check that options equal one of the allowed values and have its type."""
    allowed = list(allowed)
    for name, value in options.items():
        if (type(value), value) not in [(type(choice), choice) for choice in allowed]:
            refuse(owner, name, f'one of {allowed}', value)


def refuse_training_of_deployed(module: nn.Module) -> None:
    """Raise an error if a module that was folded for inference is trained.

    Raises:
        ValueError: If the module's ``is_deployed`` is true, and it is in training mode while autograd records, but for
            trainings with simulated quantization.
    """
    is_trained = module.training and torch.is_grad_enabled() and not getattr(module, 'is_fake_quantized', False)
    if module.is_deployed and is_trained:
        raise ValueError(
            f'{type(module).__name__}: deploy must be False in training, got a model folded for inference (deploy=True '
            'or switch_to_deploy). Build it with deploy=False, load the checkpoint that was trained, train that, and '
            'fold afterwards. To predict with this one, call eval().'
        )
