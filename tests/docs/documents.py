"""README and documentation as data: their code blocks, and the commands in them."""

import re
import shlex
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.conftest import ROOT

PAGES = [
    *(ROOT / name for name in ('README.md', 'CONTRIBUTING.md', 'projects/paper/README.md')),
    *sorted((ROOT / 'docs').rglob('*.md')),
]

# What `$(...)` in a document stands for.
VARIABLES = {
    'MMDET': "MMDET=$(python -c 'import mmdet; print(mmdet.__path__[0])')/.mim",
    'MMPRETRAIN': "MMPRETRAIN=$(python -c 'import mmpretrain; print(mmpretrain.__path__[0])')/.mim",
}


@dataclass(frozen=True)
class Block:
    """A fenced code block, and the heading that it stands under."""

    page: Path
    line: int
    language: str
    heading: str
    text: str

    @property
    def name(self) -> str:
        return f'{self.page.relative_to(ROOT)}:{self.line}'


@dataclass(frozen=True)
class Command:
    """A command of a shell block: its words, without assignments before it and comments after it."""

    block: Block
    words: tuple[str, ...]

    @property
    def name(self) -> str:
        return f'{self.block.name} {" ".join(self.words)}'


@cache
def blocks(page: Path, language: str) -> list[Block]:
    found, heading, opened, lines = [], '', None, []
    for number, line in enumerate(page.read_text().splitlines(), 1):
        fence = re.match(r'\s*```(\w*)', line)
        if fence and opened is None:
            opened, lines = (number, fence.group(1)), []
        elif fence:
            found.append(Block(page, opened[0], opened[1], heading, '\n'.join(lines) + '\n'))
            opened = None
        elif opened:
            lines.append(line)
        elif line.startswith('#'):
            heading = line.lstrip('# ')
    return [block for block in found if block.language == language]


def prose(page: Path) -> str:
    """A page without its code blocks."""
    return re.sub(r'^\s*```.*?^\s*```', '', page.read_text(), flags=re.MULTILINE | re.DOTALL)


def commands(block: Block) -> list[Command]:
    """Commands of a shell block. Definitions of ``VARIABLES`` are checked and left out."""
    found = []
    for line in block.text.replace('\\\n', ' ').splitlines():
        if '=$(' in line:
            assert line in VARIABLES.values(), f'{block.name}: {line} is none of {list(VARIABLES.values())}'
            continue
        command: list[str] = []
        for word in [*shlex.split(line, comments=True), '&&']:
            if word != '&&':
                command.append(word)
            elif command:
                is_assignment = [re.match(r'[A-Z_]+=', word) is not None for word in command]
                start = is_assignment.index(False) if False in is_assignment else len(command)
                found += [Command(block, tuple(command[start:]))] if command[start:] else []
                command = []
    return found


def all_commands() -> list[Command]:
    return [command for page in PAGES for block in blocks(page, 'bash') for command in commands(block)]


def documented_command(page: str, text: str) -> list[str]:
    """Words of the only command of ``docs/<page>`` that contains a text."""
    found = [c for block in blocks(ROOT / 'docs' / page, 'bash') for c in commands(block) if text in ' '.join(c.words)]
    assert len(found) == 1, f'{page} has {len(found)} commands with {text!r}'
    return list(found[0].words)


def documented_code(page: str, heading: str, number: int = 0) -> str:
    """The ``number``-th Python block under a heading of ``docs/<page>``."""
    found = [block.text for block in blocks(ROOT / 'docs' / page, 'python') if block.heading == heading]
    assert len(found) > number, f'{page} has {len(found)} Python blocks under {heading!r}'
    return found[number]
