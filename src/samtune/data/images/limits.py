"""Limits on the size of an image file, checked from its header before anything is decoded.

Both can be raised by environment variables, for instance `SAMTUNE_MAX_PIXELS=1000000000 samtune predict ...`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from samtune.errors import ConfigError, DataError

if TYPE_CHECKING:
    from pathlib import Path

MAX_PIXELS = ("SAMTUNE_MAX_PIXELS", 200_000_000)
"""Environment variable and default of the most pixels (rows times columns) of an image."""

MAX_BYTES = ("SAMTUNE_MAX_BYTES", 2**31)
"""Environment variable and default of the most bytes of a file, and of its first page once decoded."""


def _limit(variable: str, default: int) -> int:
    text = os.environ.get(variable, "").strip()
    if not text:
        return default
    try:
        limit = int(text) if len(text) <= 20 else 0
    except ValueError:
        limit = 0
    if limit < 1:
        raise ConfigError(f"Expected `{variable}` to be a whole number >= 1, got {text[:40]!r}.")
    return limit


def check_file_size(path: Path, num_bytes: int) -> None:
    """Refuse a file of too many bytes.

    Raises:
        DataError: it has more than `SAMTUNE_MAX_BYTES`.
    """
    most = _limit(*MAX_BYTES)
    if num_bytes > most:
        raise DataError(
            f"{path}: the file has {num_bytes:,} bytes, more than the limit of {most:,}; cut the image into tiles, or "
            f"raise the limit by the environment variable {MAX_BYTES[0]}"
        )


def check_image_size(path: Path, size_hw: tuple[int, int], bytes_per_pixel: int) -> None:
    """Refuse an image whose header declares too many pixels, or too many bytes once decoded.

    Args:
        path: named in the message.
        size_hw: rows and columns.
        bytes_per_pixel: of all channels (and planes) together, as decoded.

    Raises:
        DataError: more than `SAMTUNE_MAX_PIXELS` pixels or `SAMTUNE_MAX_BYTES` bytes, or none at all.
    """
    height, width = size_hw
    if height < 1 or width < 1:
        raise DataError(f"{path}: the image has no pixels ({height} rows, {width} columns); export it again")
    most = _limit(*MAX_PIXELS)
    if height * width > most:
        raise DataError(
            f"{path}: the image has {height} x {width} pixels, more than the limit of {most:,}; cut it into tiles, or "
            f"raise the limit by the environment variable {MAX_PIXELS[0]}"
        )
    most, needed = _limit(*MAX_BYTES), height * width * bytes_per_pixel
    if needed > most:
        raise DataError(
            f"{path}: the image takes {needed:,} bytes once decoded, more than the limit of {most:,}; cut it into "
            f"tiles, or raise the limit by the environment variable {MAX_BYTES[0]}"
        )
