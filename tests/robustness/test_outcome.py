"""What became of an input is told apart strictly."""

import pytest

from .case import Case
from .children import Ended
from .outcome import classify

SOUND = {'metrics': {'mAP': 0.5}}


def case(expected: str, **more) -> Case:
    return Case('mutation', 'test', expected, ['a.json'], ['bbox'], **more)


def report(expected: str, **more) -> Case:
    return Case('mutation', 'prepare', expected, ['a.json'], ['bbox'], **more)


def ended(code: int | None = 0, output: str = '', signal: int | None = None, timed_out: bool = False) -> Ended:
    return Ended(code, signal, timed_out, output, 1.0)


@pytest.mark.parametrize(
    ('case', 'ended', 'result', 'outcome'),
    [
        (case('same'), ended(), SOUND, 'right'),
        (case('either'), ended(), {'metrics': {'mAP': 0.4999}}, 'right'),
        (case('refused'), ended(), SOUND, 'silent'),
        (case('same'), ended(), {'metrics': {'mAP': 0.4}}, 'silent'),
        (case('same'), ended(), {'metrics': {'mAP': float('nan')}}, 'silent'),
        (case('same'), ended(), {'metrics': {}}, 'silent'),
        (case('same'), ended(), None, 'silent'),
        (case('any'), ended(), None, 'right'),
        (case('any'), ended(1, 'a.json: IndexError: 5'), None, 'unclear'),
        (report('reported'), ended(output='Faults: none'), SOUND, 'right'),
        (report('reported'), ended(output='Faults: none'), {'metrics': {}}, 'silent'),
        (report('reported'), ended(output='+ Faults ---+\n| box | bbox 3 |'), {'train.json': []}, 'right'),
        (report('reported'), ended(output='+ Faults ---+\n| box | image 3 |'), {'train.json': []}, 'silent'),
        (report('reported', options=['--strict']), ended(output='+ Notes ---+\n| bbox 3 |'), {'a': []}, 'right'),
        (report('reported', options=['--strict']), ended(output='+ Guesses -+\n| bbox 3 |'), {'a': []}, 'silent'),
        (case('same', report='left out'), ended(), SOUND, 'silent'),
        (case('same', report='left out'), ended(output='1 left out'), SOUND, 'right'),
        (case('refused'), ended(1, 'a.json: images: is missing'), None, 'named'),
        (case('refused'), ended(1, "a.json: KeyError: 'bbox'"), None, 'named'),
        (case('refused'), ended(1, "a.json: KeyError: 'size'"), None, 'unclear'),
        (case('refused'), ended(1, 'a.json: AssertionError:'), None, 'unclear'),
        (case('refused'), ended(1, 'images: is missing'), None, 'unclear'),
        (case('refused'), ended(1, 'a.json: wrong'), None, 'unclear'),
        (case('refused'), ended(1, 'Traceback (most recent call last):\na.json: is missing'), None, 'unclear'),
        (case('same'), ended(1, 'a.json: images: is missing'), None, 'unclear'),
        (case('refused'), ended(None, signal=11), None, 'crash'),
        (case('refused'), ended(None, timed_out=True), None, 'hang'),
    ],
)
def test_outcome_is_the_strictest_that_fits(case, ended, result, outcome):
    found, fault = classify(case, ended, result, SOUND)
    assert found == outcome and bool(fault) == (outcome not in ('right', 'named'))


def test_code_that_was_run_is_a_fault_even_where_the_file_is_refused():
    assert classify(case('refused'), ended(1, 'a.json: is refused'), None, None, has_run_code=True)[0] == 'silent'
