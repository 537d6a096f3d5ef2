"""A config's text, which yapf formats for about a second, and mmengine asks for at the start and at each checkpoint."""

import copy

from mmengine.config import Config


class ConfigFormattedOnce(Config):
    """mmengine's ``Config``, which formats its text anew only when its content has changed."""

    _formatted: dict[str, str] = {}  # by the text before it was formatted

    @classmethod
    def of(cls, cfg: Config) -> 'ConfigFormattedOnce':
        """A copy of a config."""
        copied = copy.deepcopy(cfg)
        object.__setattr__(copied, '__class__', cls)  # Config's own __setattr__ would make an entry of it
        return copied

    @property
    def pretty_text(self) -> str:
        plain = copy.copy(self)
        object.__setattr__(plain, '_format_python_code', False)
        text = Config.pretty_text.fget(plain)
        if not self._format_python_code:
            return text
        if text not in self._formatted:
            self._formatted.clear()
            self._formatted[text] = Config.pretty_text.fget(self)
        return self._formatted[text]
