"""A campaign of mutated inputs: ``python -m tests.robustness.campaign --count 3000``.

Each target in turn gets an input that ``random.Random('SEED/TARGET/NUMBER')`` mutates, and the tool that reads such
inputs gets to see it. ``--only TARGET/NUMBER`` repeats one, ``--keep DIR`` leaves its files there.
"""

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.update(OMP_NUM_THREADS='1', OPENBLAS_NUM_THREADS='1', CUDA_VISIBLE_DEVICES='')

from .case import Bench, Case
from .children import Ended, import_everything, run_child, run_tool
from .mutations import TARGETS
from .outcome import FAULTS, OUTCOMES, classify, last_line
from .result import read_result, write_result
from .sound import make_sound_inputs

MAX_UNCLEAR = 10


@dataclass
class Finding:
    """The outcome of one input."""

    target: str
    number: int
    case: Case
    outcome: str
    fault: str
    last_line: str

    def __str__(self) -> str:
        return (
            f'{self.outcome}: {self.target}/{self.number}: {self.case.mutation} ({self.case.command}, expected: '
            f'{self.case.expected}): {self.fault}\n    {self.last_line[:300]}'
        )


class Campaign:
    """Runs mutated inputs one after the other.

    Args:
        folder: To work in; sound inputs that an earlier campaign left there are used again.
        seed: Of all mutations.
    """

    def __init__(self, folder: Path, seed: int):
        self.folder, self.seed = folder, seed
        self.sound = folder / 'sound'
        self._references: dict[tuple, Any] = {}
        if not self.sound.exists():
            partial = folder / 'sound.part'
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            make_sound_inputs(partial)
            partial.rename(self.sound)

    def run(self, target: str, number: int, keep: bool = False) -> Finding:
        """One input of a target."""
        folder = self.folder / f'{target}_{number}'
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        rng = random.Random(f'{self.seed}/{target}/{number}')
        prepared = run_child(lambda: self._mutate(rng, target, folder), folder, timeout=60)
        if prepared.code != 0:
            raise RuntimeError(f'{target}/{number}: cannot be made ({prepared})\n{prepared.output}')
        case, mutated = Case.read(folder / 'case.json'), folder / 'mutated'
        ended, result = self._run_tool(case, mutated)
        is_compared = ended.code == 0 and case.expected not in ('refused', 'any')
        reference = self._reference(case, folder) if is_compared else None
        outcome, fault = classify(case, ended, result, reference, has_run_code=(mutated / 'ran').exists())
        if not keep:
            shutil.rmtree(folder)
        return Finding(target, number, case, outcome, fault, last_line(ended.output))

    def _mutate(self, rng: random.Random, target: str, folder: Path) -> None:
        TARGETS[target](rng, Bench(self.sound, folder)).write(folder / 'case.json')

    def _run_tool(self, case: Case, folder: Path) -> tuple[Ended, Any]:
        ended = run_tool(case.argv, folder, then=lambda: write_result(folder))
        return ended, read_result(folder)

    def _reference(self, case: Case, folder: Path) -> Any:
        if (folder / 'reference').exists():
            return self._run_tool(case, folder / 'reference')[1]
        key = tuple(case.argv)
        if key not in self._references:
            bench = Bench(self.sound, self.folder / 'unmutated')
            ended, self._references[key] = self._run_tool(case, bench.mutated)
            shutil.rmtree(bench.folder)
            if ended.code != 0:
                raise RuntimeError(f'{case.argv} fails on sound input:\n{ended.output}')
        return self._references[key]


def turns(count: int) -> Iterator[tuple[str, int]]:
    """Targets and numbers of a campaign of so many inputs."""
    for i in range(count):
        yield list(TARGETS)[i % len(TARGETS)], i // len(TARGETS)


def table(findings: list[Finding]) -> str:
    """Targets by outcomes."""
    counts = Counter((finding.target, finding.outcome) for finding in findings)
    rows = [['target', *OUTCOMES, 'all']]
    for target in TARGETS:
        row = [counts[target, outcome] for outcome in OUTCOMES]
        rows.append([target, *map(str, row), str(sum(row))])
    sums = [sum(counts[target, outcome] for target in TARGETS) for outcome in OUTCOMES]
    rows.append(['all', *map(str, sums), str(len(findings))])
    return '\n'.join(f'{row[0]:12}' + ''.join(f'{cell:>9}' for cell in row[1:]) for row in rows)


def is_goal_met(findings: list[Finding], max_unclear: int = MAX_UNCLEAR) -> bool:
    counts = Counter(finding.outcome for finding in findings)
    return not (counts['silent'] or counts['crash'] or counts['hang']) and counts['unclear'] <= max_unclear


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--count', type=int, default=3000, help='inputs')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--max-unclear', type=int, default=MAX_UNCLEAR, help='how many unclear refusals may be')
    parser.add_argument('--only', nargs='+', metavar='TARGET[/NUMBER]', help='these alone')
    parser.add_argument('--keep', type=Path, help='folder for all files of the campaign, sound inputs to be used again')
    args = parser.parse_args()
    only = [name.partition('/') for name in args.only or ()]
    chosen = [(target, int(number)) for target, _, number in only if number]
    wanted = {target for target, _, number in only if not number}
    chosen += [turn for turn in turns(args.count) if not only or turn[0] in wanted]

    import_everything()
    folder = args.keep or Path(tempfile.mkdtemp(prefix='robustness_'))
    try:
        print('making the sound inputs', flush=True)
        campaign = Campaign(folder.resolve(), args.seed)
        findings, start = [], time.monotonic()
        for target, number in chosen:
            findings.append(campaign.run(target, number, keep=bool(args.keep)))
            if findings[-1].outcome in FAULTS:
                print(findings[-1], flush=True)
            if len(findings) % 50 == 0:
                seconds = (time.monotonic() - start) / len(findings)
                print(f'{len(findings)} of {len(chosen)} inputs, {seconds:.1f} seconds each', flush=True)
    finally:
        if not args.keep:
            shutil.rmtree(folder, ignore_errors=True)
    print(f'\nseed {args.seed}\n{table(findings)}\n')
    for finding in findings:
        if finding.outcome in FAULTS:
            print(finding)
    sys.exit(0 if is_goal_met(findings, args.max_unclear) else 1)


if __name__ == '__main__':
    main()
