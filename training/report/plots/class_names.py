"""Class names in plots: short enough, and in letters that an installed font has.

matplotlib contains fonts for Latin, Greek, Cyrillic and some other scripts. Names in other scripts
use a font of the machine. Without one the plots show a number, and the page lists the names, which
every browser can display.
"""

import contextlib
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache

import matplotlib as mpl
from matplotlib.font_manager import fontManager, get_font

_MAX_LETTERS = 20
_WIDE = frozenset("WF")
"""East Asian width of letters that take twice the space."""
_UNSUITABLE = ("Last Resort", "NonUnicode")
"""Fonts that draw another sign than the letter."""
_BUILT_IN = "DejaVu Sans"


def fit_class_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return each name as plots show it: shortened, or `#` and its index without a font."""
    fitted = [
        f"#{index}" if _find_font(name) is None else _shorten(name)
        for index, name in enumerate(names)
    ]
    return tuple(
        f"{_cut(name, _MAX_LETTERS - 5)}\N{HORIZONTAL ELLIPSIS} #{index}"
        if fitted.count(name) > 1
        else name
        for index, name in enumerate(fitted)
    )


@contextlib.contextmanager
def use_fonts(names: Sequence[str]) -> Iterator[None]:
    """Let plots in the block use the fonts that class names need."""
    fonts = {font for name in names if (font := _find_font(name)) is not None}
    families = [_BUILT_IN, *sorted(fonts - {_BUILT_IN})]
    with mpl.rc_context({"font.family": families}):
        yield


def _shorten(name: str) -> str:
    if _cut(name, _MAX_LETTERS) == name:
        return name
    return f"{_cut(name, _MAX_LETTERS - 1).rstrip()}\N{HORIZONTAL ELLIPSIS}"


def _cut(name: str, width: int) -> str:
    """Return the start of a name that takes the width of so many Latin letters."""
    used = 0
    for position, letter in enumerate(name):
        used += 2 if unicodedata.east_asian_width(letter) in _WIDE else 1
        if used > width:
            return name[:position]
    return name


@cache
def _find_font(name: str) -> str | None:
    """Return a family that has all letters of a name, or None."""
    letters = {ord(letter) for letter in name if not letter.isspace()}
    entries = sorted(fontManager.ttflist, key=lambda entry: (entry.name != _BUILT_IN, entry.name))
    for entry in entries:
        is_plain = entry.style == "normal" and not any(word in entry.name for word in _UNSUITABLE)
        if is_plain and letters <= _list_letters(entry.fname):
            return entry.name
    return None


@cache
def _list_letters(file: str) -> frozenset[int]:
    """Return the code points of the first font in a file."""
    try:
        return frozenset(get_font(file).get_charmap())
    except (OSError, RuntimeError):
        return frozenset()
