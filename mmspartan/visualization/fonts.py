"""Fonts that have the characters of a text: matplotlib's own, and for others those of the system."""

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from itertools import groupby

from matplotlib import font_manager, rc_context
from matplotlib.ft2font import FT2Font
from PIL import ImageDraw, ImageFont

DEFAULT = 'DejaVu Sans'  # comes with matplotlib


def legible(name: str, number: int, length: int = 18) -> str:
    """Return a class name that can be drawn: on one line, of at most ``length`` characters, which a font has.

    ``class <number>`` stands for a name that no installed font has.
    """
    name = ' '.join(name.split())
    if any(_font_of(character) is None for character in name):
        _warn(name, number)
        return f'class {number}'
    return name if len(name) <= length else f'{name[: length - 1]}…'


def text_width(text: str, size: int) -> float:
    """Return the width of a text in pixels; ``size`` is the height of its letters."""
    return sum(font.getlength(part) for font, part in _runs(text, size))


def draw_text(draw: ImageDraw.ImageDraw, left: float, middle: float, text: str, color: tuple, size: int) -> None:
    """Draw a text from ``left`` on, whose letters have their middle at ``middle``, both in pixels."""
    for font, part in _runs(text, size):
        draw.text((left, middle), part, color, font, 'lm')
        left += font.getlength(part)


@contextmanager
def matplotlib_fonts(texts: Iterable[str]) -> Iterator[None]:
    """Let figures that are made within take the characters that matplotlib's font lacks from fonts of the system."""
    paths = {_font_of(character) or DEFAULT for text in texts for character in text}
    others = sorted(paths - {DEFAULT, *_default_fonts()})
    families = [font_manager.FontProperties(fname=path).get_name() for path in others]
    with rc_context({'font.family': [DEFAULT, *families]}):
        yield


def _runs(text: str, size: int) -> list[tuple[ImageFont.FreeTypeFont, str]]:
    """Divide a text into parts of one font each."""
    grouped = groupby(text, lambda character: _font_of(character) or font_manager.findfont(DEFAULT))
    return [(_load(path, size), ''.join(characters)) for path, characters in grouped]


@cache
def _load(path: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, size)


@cache
def _font_of(character: str) -> str | None:
    """Return the path of a font that has a character, or None."""
    paths = (path for find in (_default_fonts, _system_fonts) for path in find())
    return next((path for path in paths if ord(character) in _characters(path)), None)


def _default_fonts() -> list[str]:
    return [font_manager.findfont(DEFAULT)]


@cache
def _system_fonts() -> list[str]:
    return sorted(font_manager.findSystemFonts(), key=lambda path: ('Regular' not in path, path))


@cache
def _characters(path: str) -> frozenset[int]:
    try:
        return frozenset(FT2Font(path).get_charmap())
    except (OSError, RuntimeError):  # a font that FreeType cannot read
        return frozenset()


@cache
def _warn(name: str, number: int) -> None:
    warnings.warn(
        f'no installed font has the characters of {name!r}, which is drawn as "class {number}"; '
        'on Debian and Ubuntu: apt install fonts-noto-core fonts-noto-cjk',
        stacklevel=3,
    )
