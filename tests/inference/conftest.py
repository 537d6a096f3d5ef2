from pathlib import Path

import pytest

from tests.conftest import DATA, save_untrained


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp('weights') / 'mine.pth'
    save_untrained(DATA / 'rtdetr_quick.py', path)
    return path
