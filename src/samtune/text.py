"""Numbers written for people: scores, differences, times, sizes, counts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

ABSENT = "\N{EN DASH}"


def decimals(value: float | None, digits: int = 3) -> str:
    """Write a score with fixed digits; None and NaN are an en dash."""
    return ABSENT if value is None or math.isnan(value) else f"{value:.{digits}f}"


def signed(value: float | None, digits: int = 3) -> str:
    """Write a difference with its sign; None, NaN and infinity are an en dash, a rounded 0 has no sign."""
    if value is None or not math.isfinite(value):
        return ABSENT
    text = f"{abs(value):.{digits}f}"
    return text if float(text) == 0 else ("+" if value > 0 else "\N{MINUS SIGN}") + text


def plain(value: object) -> str:
    """Write a fact: integers with thousands separators, floats with four significant digits, others as they are."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: ABSENT}[value]
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def duration(time_s: float) -> str:
    """Write a time in the two units that fit: `0.4 s`, `48 s`, `2 min 5 s`, `3 h 20 min`."""
    if time_s < 9.95:
        return f"{time_s:.1f} s"
    whole = round(time_s)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    minutes = round(time_s / 60)
    return f"{minutes // 60:,} h {minutes % 60} min"


def size(num_bytes: int | None) -> str:
    """Write an amount of memory: `512 MB`, `3.4 GB`; None is an en dash."""
    if num_bytes is None:
        return ABSENT
    return f"{num_bytes / 1e6:,.0f} MB" if num_bytes < 1e9 else f"{num_bytes / 1e9:,.1f} GB"


def count(num: int, noun: str) -> str:
    """Write a number of things: `1 image`, `2,000 images`."""
    return f"1 {noun}" if num == 1 else f"{num:,} {noun}s"


def listing(words: Sequence[str]) -> str:
    """Join at least one word: `a`, `a and b`, `a, b and c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
