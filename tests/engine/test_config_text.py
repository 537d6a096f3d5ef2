from pathlib import Path
from pkgutil import resolve_name
from unittest.mock import patch

from mmengine.config import Config

from mmspartan.engine.config_text import ConfigFormattedOnce
from mmspartan.engine.runner import ResumableRunner
from tests.docs.scripts import FORMATTER


def test_text_is_formatted_once_for_each_content():
    cfg = Config(dict(a=dict(b=[1, 2]), c='x'))
    expected = cfg.pretty_text
    once = ConfigFormattedOnce.of(cfg)
    with patch(FORMATTER, wraps=resolve_name(FORMATTER)) as formatted:
        assert once.pretty_text == expected and once.pretty_text == expected
        once.a.b = [3]
        assert 'b=[3,]' in ''.join(once.pretty_text.split())
        assert formatted.call_count == 2
    assert cfg.a.b == [1, 2] and type(cfg) is Config


def test_config_of_the_work_dir_is_not_overwritten(tmp_path):
    """A work dir may be the folder of the config: ``--work-dir .``"""
    path = tmp_path / 'mine.py'
    path.write_text('a = 1  # a comment\n')
    runner = object.__new__(ResumableRunner)
    runner.cfg, runner._work_dir = Config.fromfile(path), str(tmp_path)
    runner.dump_config()
    assert path.read_text() == 'a = 1  # a comment\n'
    runner._work_dir = str(tmp_path / 'work')
    Path(runner._work_dir).mkdir()
    runner.dump_config()
    assert Config.fromfile(tmp_path / 'work' / 'mine.py').a == 1
