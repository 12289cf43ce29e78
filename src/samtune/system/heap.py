"""Return of freed memory to the system, for loops over any number of images.

The heap of the C library on Linux keeps freed blocks below 32 MB, and the gaps between blocks in use add up;
measurements are in docs/benchmarks/speed.md.
"""

from __future__ import annotations

import ctypes
import functools
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def trim() -> None:
    """Return freed memory to the system if the C library has `malloc_trim`, as glibc does; else do nothing."""
    malloc_trim = _malloc_trim()
    if malloc_trim is not None:
        malloc_trim(0)


@functools.cache
def _malloc_trim() -> Callable[[int], int] | None:
    """Return the function of the C library; None if it has none."""
    if not sys.platform.startswith("linux"):
        return None
    return getattr(ctypes.CDLL(None), "malloc_trim", None)
