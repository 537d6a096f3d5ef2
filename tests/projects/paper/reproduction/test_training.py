"""Several trainings at a time."""

import sys

from projects.paper.reproduction.training import Command, run_all


def test_a_command_that_fails_does_not_stop_the_others(tmp_path):
    code = "import os, sys; print('threads', os.environ['OMP_NUM_THREADS']); sys.exit({})"
    commands = [
        Command(name, [sys.executable, '-c', code.format(status)], tmp_path / name / 'train.log')
        for name, status in (('bad', 3), ('good', 0), ('last', 0))
    ]
    lines = []
    assert run_all(commands, 1, lines.append) == commands[:1]
    assert (tmp_path / 'last' / 'train.log').read_text() == 'threads 1\n'
    assert lines[0].startswith(f'1/3 bad: failed, see {tmp_path / "bad" / "train.log"}; ')
    assert [line.split(';')[0] for line in lines[1:]] == ['2/3 good: done', '3/3 last: done']
    assert lines[-1].endswith('about 0 left')
