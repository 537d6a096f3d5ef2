"""What the checks of arguments accept, and how an error says it; other tests ask only for class and option."""

import pytest

from mmspartan import checks
from mmspartan.errors import OptionError
from tests.conftest import refuses

NAN, INF = float('nan'), float('inf')
# Check, its arguments after the class, values that it accepts, values that it refuses, and what it says is valid.
CHECKS = [
    (checks.check_integers, (), [1, 10**9], [0, True, 2.0, NAN, '1', None], 'a positive integer'),
    (checks.check_integers, (0,), [0], [-1, False], 'an integer of at least 0'),
    (checks.check_integers, (-1, 4), [-1, 4], [-2, 5, 1.0], 'an integer in -1..4'),
    (checks.check_multiples, (8,), [8, 64], [0, -8, 12, 8.0, True], 'a positive multiple of 8'),
    (checks.check_numbers, ('[0, 1)',), [0, 0.5], [1, -0.1, NAN, True, '0'], 'in [0, 1)'),
    (checks.check_numbers, ('(0, inf)',), [1e-9, 10**9], [0, INF], 'in (0, inf)'),
    (checks.check_flags, (), [True, False], [0, 'False', None], 'True or False'),
    (checks.check_choices, ([18, 'a'],), [18, 'a'], [18.0, 'b', None], "one of [18, 'a']"),
]


@pytest.mark.parametrize(('check', 'arguments', 'valid', 'refused', 'allowed'), CHECKS)
def test_values_are_accepted_or_refused(check, arguments, valid, refused, allowed):
    for value in valid:
        check('Owner', *arguments, option=value)
    for value in refused:
        with refuses('Owner', 'option', value):
            check('Owner', *arguments, option=value)


def test_error_names_class_option_value_and_what_is_valid():
    for check, arguments, _, refused, allowed in CHECKS:
        with pytest.raises(OptionError) as error:
            check('Owner', *arguments, option=refused[0])
        assert str(error.value) == f'Owner: option must be {allowed}, got {refused[0]!r}'


def test_number_of_feature_maps_is_that_of_the_layers():
    checks.check_levels('Owner', [1, 2], [3, 4])
    with refuses('Owner', 'the number of feature maps', 1):
        checks.check_levels('Owner', [1, 2], [3])
