"""What became of a mutated input: right, named, or one of four kinds of fault."""

import math
import re
from typing import Any

from .case import Case
from .children import Ended

# right: exit code 0 and the result of the reference. named: refused, in a last line that names the file or option and
# the entry or cause. unclear: refused without that, or with a traceback, or though nothing is wrong. silent: exit code
# 0 and another result, or none. crash: ended by a signal. hang: not ended in time.
OUTCOMES = ('right', 'named', 'unclear', 'silent', 'crash', 'hang')
FAULTS = ('unclear', 'silent', 'crash', 'hang')

# Errors of Python's own, which say what happened in the code and not what is wrong with the input.
INTERNAL = re.compile(
    r'\b(Type|Attribute|Key|Index|Lookup|Assertion|Runtime|NotImplemented|UnboundLocal|ZeroDivision|Overflow|Memory|'
    r'Recursion|Name|StopIteration)(Error)?: '
)


def classify(case: Case, ended: Ended, result: Any, reference: Any, has_run_code: bool = False) -> tuple[str, str]:
    """The outcome, and what is wrong with it or ``''``.

    Args:
        result: What the tool made of the mutated input, None if nothing.
        reference: What it made of the reference, if the exit code is 0.
        has_run_code: Whether code in the input was run.
    """
    if ended.timed_out:
        return 'hang', f'not ended after {ended.seconds:.0f} seconds'
    if ended.signal is not None:
        return 'crash', f'signal {ended.signal}'
    if has_run_code:
        return 'silent', 'code in the file was run'
    fault = _fault_of_result(case, ended, result, reference) if ended.code == 0 else _fault_of_refusal(case, ended)
    if ended.code == 0:
        return ('silent', fault) if fault else ('right', '')
    return ('unclear', fault) if fault else ('named', '')


def _fault_of_result(case: Case, ended: Ended, result: Any, reference: Any) -> str:
    if case.expected == 'refused':
        return 'accepted'
    if case.expected == 'any':
        return ''
    if not result:
        return 'exit code 0 without a result'
    if not is_same(result, reference):
        if case.expected == 'reported':
            return _fault_of_report(case, ended.output)
        return f'another result: {_short(result)} instead of {_short(reference)}'
    return '' if case.report in ended.output else f'{case.report!r} is not reported'


def _fault_of_report(case: Case, output: str) -> str:
    """What the tables of prepare_dataset.py lack; with ``--strict`` only notes may be among them."""
    if case.command != 'prepare':
        return '' if any(name and name in output for name in case.entries) else f'names none of {case.entries}'
    titles = re.findall(r'^\+ (Faults|Guesses|Notes) -', output, re.M)
    if not titles:
        return 'another result without a report'
    if '--strict' in case.options and titles != ['Notes']:
        return f'{titles[0]} in spite of --strict'
    report = output[output.index(f'+ {titles[0]} -') :]
    return '' if any(name and name in report for name in case.entries) else f'the report has none of {case.entries}'


def _fault_of_refusal(case: Case, ended: Ended) -> str:
    if 'Traceback (most recent call last)' in ended.output:
        return 'a traceback'
    last = last_line(ended.output)
    if case.expected == 'same':
        return 'refused, though nothing is wrong with it'
    if not any(name in last for name in case.names):
        return f'names none of {", ".join(case.names)}'
    if INTERNAL.search(last) and not any(entry in last for entry in case.entries):
        return f'an error of Python without {" or ".join(case.entries) or "a cause"}'
    rest = last
    for name in (name for name in case.names if '.' in name):
        rest = rest.replace(name, '')
    return '' if len(re.findall(r'[^\W\d]{2,}', rest)) >= 2 else 'no cause'


def last_line(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1] if lines else ''


def is_same(result: Any, reference: Any, tolerance: float = 2e-3) -> bool:
    """Whether two results are equal but for rounding: metrics have three digits."""
    if isinstance(result, dict) and isinstance(reference, dict):
        return result.keys() == reference.keys() and all(is_same(result[key], reference[key]) for key in result)
    if isinstance(result, list) and isinstance(reference, list):
        return len(result) == len(reference) and all(map(is_same, result, reference))
    if isinstance(result, float) and isinstance(reference, float | int):
        return math.isclose(result, reference, rel_tol=tolerance, abs_tol=tolerance)
    return result == reference


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 150 else f'{text[:147]}...'
