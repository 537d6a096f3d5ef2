"""A sign of life during long work."""

import io
import threading
import time
from contextlib import redirect_stdout

import pytest

from mmspartan.runs import long_work


def test_long_work_is_not_silent_and_ends_with_what_it_raises(monkeypatch, capsys):
    monkeypatch.setattr(long_work, 'EVERY', 0.05)
    threads = threading.active_count()
    with long_work.announced('short'):
        pass
    assert capsys.readouterr().out == 'short\n'
    with pytest.raises(ValueError, match='broken'), long_work.announced('exporting'):
        with redirect_stdout(io.StringIO()):
            time.sleep(0.4)
        raise ValueError('broken')
    first, *rest = capsys.readouterr().out.splitlines()
    assert first == 'exporting' and 2 <= len(rest) <= 8 and all(line.endswith(' s') for line in rest)
    assert threading.active_count() == threads
