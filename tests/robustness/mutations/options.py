"""Silly values of the options of each tool, as its parser has them."""

import argparse
import random
import re

from tests.docs.scripts import parser_of

from ..case import COMMANDS, Bench, Case, replace
from ..children import TOOLS

NO_NUMBERS = ['x', '', 'nan', '1e', '0x10', 'None', '1,5']
TEXTS = [
    '',
    ' ',
    'none/there',
    'silly',
    'silly.txt',
    'silly.txt/below',
    'loop',
    '/proc/none/there',
    'x' * 300,
    'x' * 5000,
]
TEXTS += ['{{ x }}', '\udcff', 'a\nb', '~', '*', '0', '-1', 'nan', '\x1b[31m', 'a=b', '..']
PAIRS = ['x', 'x=', '=1', 'model=None', 'model=5', 'a.b.c=1', 'train_dataloader=[', 'work_dir=5', 'model.type=x', '=']
NEGATIVE = ('seed', 'local_rank')  # may be so


def mutate(rng: random.Random, bench: Bench) -> Case:
    """One option of a tool."""
    commands = [name for name in COMMANDS if name not in ('load_from', 'resume', 'demo folder')]
    actions: list[argparse.Action] = []
    while not actions:
        command = rng.choice(commands)
        actions = [action for action in parser_of(TOOLS / COMMANDS[command][0])._actions if _takes_value(action)]
    action = rng.choice(actions)
    value, expected = _silly(rng, action)
    folder = bench.mutated
    (folder / 'silly').mkdir()
    replace(folder / 'silly.txt', 'silly\n')
    (folder / 'loop').symlink_to('loop')
    name = action.option_strings[-1]
    count = action.nargs if isinstance(action.nargs, int) else 1
    names = [
        name,
        repr(value),
        value.encode('unicode_escape').decode() or name,
        *([value, ' '.join(value.split())] if value.strip() else []),
        *_parts(value),
    ]
    values = [f'{name}={value}', *[value] * (count - 1)]
    return Case(
        f'{command}: {name} {value[:40]!r}',
        command,
        expected,
        names,
        names,
        options=['layouts/coco', *values] if command == 'prepare' else values,
    )


def _parts(value: str) -> list[str]:
    return [part for part in re.split('[=/.]', value) if len(part) > 1]


def _takes_value(action: argparse.Action) -> bool:
    return bool(action.option_strings) and action.nargs != 0


def _silly(rng: random.Random, action: argparse.Action) -> tuple[str, str]:
    if action.choices is not None:
        return rng.choice(['no choice', '', '-1', 'x' * 300]), 'refused'
    if action.type in (int, float):
        if rng.random() < 0.5:
            return rng.choice(NO_NUMBERS + (['1.5', '1e3'] if action.type is int else ['inf', '-inf'])), 'refused'
        value = rng.choice(['-1', '-99999999999999999999', '0', '99999999999999999999'])
        return value, 'refused' if value[0] == '-' and action.dest not in NEGATIVE else 'any'
    if action.dest == 'cfg_options':
        return rng.choice(PAIRS), 'any'
    return rng.choice(TEXTS), 'any'
