"""The nearest word that there is, for sentences that refuse one that there is not."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


MAX_WORD = 100
"""No name is longer, and comparing takes as long as both words."""


def did_you_mean(word: str, offered: Iterable[str]) -> str:
    """The question to put behind a refused word, such as " (did you mean 'rank'?)"; "" where nothing is near.

    Args:
        word: that came.
        offered: those there are.
    """
    if len(word) > MAX_WORD:
        return ""
    close = difflib.get_close_matches(word, list(offered), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
