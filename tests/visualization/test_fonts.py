"""Class names beyond ASCII are drawn by a font that has them, or by their number."""

import pytest
from matplotlib.figure import Figure
from PIL import Image, ImageDraw

from mmspartan.visualization import fonts

UNKNOWN = '\U000f1234'  # for private use, in no font


@pytest.fixture
def only_default_font(monkeypatch):
    monkeypatch.setattr(fonts, '_system_fonts', list)
    fonts._font_of.cache_clear()
    fonts._warn.cache_clear()
    yield
    fonts._font_of.cache_clear()


def test_names_are_shortened_and_put_on_one_line():
    assert fonts.legible('two  words\nand a line that is much too long', 1) == 'two words and a l…'
    assert fonts.legible('Gänseblümchen, кошка', 1, length=30) == 'Gänseblümchen, кошка'


def test_names_that_no_font_has_are_drawn_by_their_number(only_default_font):
    for name in (UNKNOWN, '猫と犬'):
        with pytest.warns(UserWarning, match='apt install fonts-'):
            assert fonts.legible(name, 7) == 'class 7'


def test_characters_of_other_fonts_are_drawn_beside_those_of_the_default(monkeypatch, only_default_font):
    other = fonts.font_manager.findfont('STIXGeneral')  # ships with matplotlib, as DejaVu Sans does
    missing = next(c for c in sorted(fonts._characters(other)) if c not in fonts._characters(fonts._default_fonts()[0]))
    monkeypatch.setattr(fonts, '_system_fonts', lambda: [other])
    name = f'a{chr(missing)}b'
    assert fonts.legible(name, 1) == name
    assert [font.path for font, _ in fonts._runs(name, 12)] == [*fonts._default_fonts(), other, *fonts._default_fonts()]
    image = Image.new('RGB', (200, 40))
    fonts.draw_text(ImageDraw.Draw(image), 5, 20, name, (255, 255, 255), 20)
    assert image.getbbox()[2] - 5 == pytest.approx(fonts.text_width(name, 20), abs=5)
    with fonts.matplotlib_fonts([name]):
        text = Figure().text(0, 0, name)
    assert text.get_fontproperties().get_family() == ['DejaVu Sans', 'STIXGeneral']
