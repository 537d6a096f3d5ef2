"""The report on a dataset."""

import sys

import numpy as np
from terminaltables import AsciiTable

from mmspartan.datasets.image_files import write_image
from mmspartan.datasets.prepare.report import drawn, printed
from mmspartan.datasets.prepare.source import Object, Sample


def test_half_of_the_drawn_images_are_those_of_a_guess_and_names_have_folders(tmp_path):
    names, samples = {}, []
    for i in range(40):
        path = tmp_path / f'day{i}' / 'a.png'
        path.parent.mkdir()
        write_image(path, np.zeros((32, 32, 3), np.uint8))
        samples.append(Sample(path, [Object('x', (1, 1, 9, 9))]))
        names[path] = f'day{i}/a.png'
    guessed = {str(tmp_path / f'day{i}' / 'a.png') for i in range(30, 40)}
    splits = dict(train=samples[:35], val=samples[35:])
    shown = [name for name, _ in drawn(splits, ['x'], names, guessed, 4, 0)]
    of_guesses = [name for name in shown if int(name[3:5].rstrip('/')) >= 30]
    assert len(set(shown)) == 4 and of_guesses[:2] == shown[:2]
    assert len(drawn(dict(train=samples[:3]), ['x'], names, (), 4, 0)) == 3


def test_tables_fit_the_terminal(monkeypatch):
    tables = {'Faults': [['fault', 'done', 'times', 'first places'], ['no image', 'dropped', '2', f'{"a" * 99}\nb']]}
    whole = printed(tables)
    assert max(map(len, whole.splitlines())) > 120
    monkeypatch.setattr(sys.stdout, 'isatty', lambda: True, raising=False)
    monkeypatch.setattr(AsciiTable, 'column_max_width', lambda self, column: 40)
    text = printed(tables)
    assert max(map(len, text.splitlines())) < 85 and text.count('a' * 40) == 2
