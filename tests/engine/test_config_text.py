from pkgutil import resolve_name
from unittest.mock import patch

from mmengine.config import Config

from mmspartan.engine.config_text import ConfigFormattedOnce
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
