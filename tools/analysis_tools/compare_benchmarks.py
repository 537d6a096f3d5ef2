"""Compare two files of ``benchmark.py --json``: ``compare_benchmarks.py BEFORE.json AFTER.json``.

A difference is marked if the two ranges between the quartiles do not overlap; the others are within the spread.
"""

import argparse
from pathlib import Path

from mmspartan_cli import parse


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('before', type=Path)
    parser.add_argument('after', type=Path)
    return parse(parser, 'before', 'after')


if __name__ == '__main__':
    args = parse_args()  # before the imports that take seconds

from mmspartan.benchmark.record import differ, read_record
from mmspartan.commands.command import command
from mmspartan.errors import InputError


@command()
def main(args: argparse.Namespace) -> None:
    before, after = read_record(args.before), read_record(args.after)
    for key in ('settings', 'machine', 'torch'):
        if before[key] != after[key]:
            print(f'note: {key} differ: {before[key]} and {after[key]}')
    names = [name for name in before['models'] if name in after['models']]
    if not names:
        raise InputError(f'{args.before} and {args.after} have no model in common')
    print(f'| {"model":36} |       before |        after |    ratio |                   |')
    print(f'| {"-" * 36} | -----------: | -----------: | -------: | ----------------- |')
    for name in names:
        one, other = before['models'][name], after['models'][name]
        medians = [model.quartiles()[1] for model in (one, other)]
        verdict = ('faster' if medians[1] < medians[0] else 'slower') if differ(one, other) else 'within the spread'
        ratio = f'{medians[0] / medians[1]:.2f}x'
        print(f'| {name:36} | {medians[0]:9.2f} ms | {medians[1]:9.2f} ms | {ratio:>8} | {verdict:17} |')


if __name__ == '__main__':
    main(args)
