"""Text for people: scores, differences, times, sizes, counts, lists, and the nearest known name."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

ABSENT = "\N{EN DASH}"
"""Text for a value that is not known."""

MAX_WORD = 100
"""Longest word that is compared with known names, in characters: the time grows with the length of both."""


def decimals(value: float | None, digits: int = 3) -> str:
    """Return a score with a fixed number of decimals; an en dash for None and NaN."""
    return ABSENT if value is None or math.isnan(value) else f"{value:.{digits}f}"


def signed(value: float | None, digits: int = 3) -> str:
    """Return a difference with its sign, none if it rounds to 0; an en dash for None, NaN and infinity."""
    if value is None or not math.isfinite(value):
        return ABSENT
    text = f"{abs(value):.{digits}f}"
    return text if float(text) == 0 else ("+" if value > 0 else "\N{MINUS SIGN}") + text


def plain(value: object) -> str:
    """Return a value as text: integers with thousands separators, floats with four significant digits, yes or no."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: ABSENT}[value]
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def duration(time_s: float) -> str:
    """Return a time in one or two units: `0.4 s`, `48 s`, `2 min 5 s`, `3 h 20 min`."""
    if time_s < 9.95:
        return f"{time_s:.1f} s"
    whole = round(time_s)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    minutes = round(time_s / 60)
    return f"{minutes // 60:,} h {minutes % 60} min"


def size(num_bytes: float | None) -> str:
    """Return an amount of memory or disk, in powers of 1000: `640 bytes`, `8.2 kB`, `512 MB`, `3.4 GB`.

    It has one decimal below 10 and from a gigabyte on; None is an en dash.
    """
    if num_bytes is None:
        return ABSENT
    if round(num_bytes) < 1000:
        return count(round(num_bytes), "byte")
    value, units = num_bytes / 1000, ["kB", "MB", "GB", "TB"]
    while round(value) >= 1000 and len(units) > 1:
        value /= 1000
        units.pop(0)
    digits = 1 if value < 9.95 or units[0] in ("GB", "TB") else 0
    return f"{value:,.{digits}f} {units[0]}"


def count(num: int, noun: str, plural: str | None = None) -> str:
    """Return a number with its noun: `1 image`, `1,200 images`.

    Args:
        num: the number.
        noun: the noun in the singular.
        plural: the noun in the plural; None appends "s".
    """
    return f"{num:,} {noun if num == 1 else plural or noun + 's'}"


def listing(words: Sequence[str], last: str = "and") -> str:
    """Return words as a list in a sentence: `a`, `a and b`, `a, b and c`; "" for none."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} {last} {words[-1]}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a question to append to a refused word, such as " (did you mean 'rank'?)"; "" where no name is near.

    Args:
        word: the refused word.
        known: the names it could have been.
    """
    import difflib  # only for errors

    if len(word) > MAX_WORD:
        return ""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
