"""Handing freed memory back to the system, for loops over any number of images.

The C library's heap on Linux keeps what is freed below 32 MB, and the gaps between what is still in use add up:
docs/benchmarks/speed.md says what that came to.
"""

from __future__ import annotations

import ctypes
import functools
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def trim() -> None:
    """Hand freed memory back where the C library can (glibc's does); elsewhere nothing happens."""
    hand_back = _malloc_trim()
    if hand_back is not None:
        hand_back(0)


@functools.cache
def _malloc_trim() -> Callable[[int], int] | None:
    if not sys.platform.startswith("linux"):
        return None
    return getattr(ctypes.CDLL(None), "malloc_trim", None)
