"""Limits on the size of image files, checked before decoding.

Environment variables change them, for example `SAMTUNE_MAX_PIXELS=1000000000 samtune predict ...`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from samtune.errors import ConfigError, DataError

if TYPE_CHECKING:
    from pathlib import Path

MAX_PIXELS = ("SAMTUNE_MAX_PIXELS", 200_000_000)
"""Environment variable and default of the largest number of pixels (rows times columns) of an image."""

MAX_BYTES = ("SAMTUNE_MAX_BYTES", 2**31)
"""Environment variable and default of the largest size in bytes of a file, and of its first page once decoded."""


def _limit(variable: str, default: int) -> int:
    """Return the value of an environment variable, the default where it is unset or empty.

    Raises:
        ConfigError: the value is not a whole number >= 1.
    """
    text = os.environ.get(variable, "").strip()
    if not text:
        return default
    try:
        limit = int(text) if len(text) <= 20 else 0
    except ValueError:
        limit = 0
    if limit < 1:
        raise ConfigError(f"Expected a whole number >= 1 in the environment variable `{variable}`, got {text[:40]!r}.")
    return limit


def check_file_size(path: Path, num_bytes: int) -> None:
    """Check the size of a file.

    Raises:
        DataError: it has more than `SAMTUNE_MAX_BYTES` bytes.
    """
    limit = _limit(*MAX_BYTES)
    if num_bytes > limit:
        raise DataError(
            f"{path}: the file has {num_bytes:,} bytes, more than the limit of {limit:,}; cut the image into tiles, or "
            f"raise the limit with the environment variable {MAX_BYTES[0]}"
        )


def check_image_size(path: Path, size_hw: tuple[int, int], bytes_per_pixel: int) -> None:
    """Check the size that the header of an image declares.

    Args:
        path: the file, for the message.
        size_hw: rows and columns.
        bytes_per_pixel: bytes of all channels and planes together, once decoded.

    Raises:
        DataError: the image has more than `SAMTUNE_MAX_PIXELS` pixels, takes more than `SAMTUNE_MAX_BYTES` bytes, or is
            empty.
    """
    height, width = size_hw
    if height < 1 or width < 1:
        raise DataError(f"{path}: the image has no pixels ({height} rows, {width} columns); export it again")
    limit = _limit(*MAX_PIXELS)
    if height * width > limit:
        raise DataError(
            f"{path}: the image has {height} x {width} pixels, more than the limit of {limit:,}; cut it into tiles, or "
            f"raise the limit with the environment variable {MAX_PIXELS[0]}"
        )
    limit, needed = _limit(*MAX_BYTES), height * width * bytes_per_pixel
    if needed > limit:
        raise DataError(
            f"{path}: the image takes {needed:,} bytes once decoded, more than the limit of {limit:,}; cut it into "
            f"tiles, or raise the limit with the environment variable {MAX_BYTES[0]}"
        )
