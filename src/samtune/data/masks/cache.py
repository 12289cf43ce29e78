"""Masks that samtune draws itself (merged files, rasterised outlines), kept as PNG beside the cached features.

The cache lies in `$SAMTUNE_CACHE`, or in `~/.cache/samtune`, and may be deleted at any time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2

from samtune.array_store import ArrayStore
from samtune.files import make_folder, whole

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np


def stamp(file: Path) -> tuple[str, int, int]:
    """Return the path, size in bytes and time of change of a file, from which a cached mask is known to be current."""
    stat = file.stat()
    return str(file.resolve()), stat.st_size, stat.st_mtime_ns


def cached_mask(source: str, stem: str, depends_on: object, draw: Callable[[], np.ndarray]) -> Path:
    """Return the path of a mask in the cache, as PNG; draw and save the mask if it is not there yet.

    Args:
        source: name of the data set or operation; a folder of the cache.
        stem: name of the image.
        depends_on: what the mask is made from, such as the `stamp` of each source file; plain JSON types.
        draw: returns the pixels, uint8 or uint16 (H, W), or uint8 (H, W, 3) BGR.
    """
    key = ArrayStore.key("layout", 1, source, stem, depends_on)
    file = ArrayStore.default().folder / "masks" / source / key[:2] / f"{key[:16]}.png"
    if not file.is_file():
        done, png = cv2.imencode(".png", draw())
        assert done
        make_folder(file.parent)
        with whole(file, shared=True) as partial:
            partial.write_bytes(png.tobytes())
    return file
