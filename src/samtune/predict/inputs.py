"""Images to predict from Python: paths, arrays and PIL images, one by one as uint8 RGB."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Set
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from samtune.data.images.arrays import as_rgb
from samtune.data.images.reading import read_with_notes
from samtune.errors import DataError, ShapeError
from samtune.inputs import as_path
from samtune.predict.reading import find_images

if TYPE_CHECKING:
    from collections.abc import Iterator


def each_image(images: Any) -> Iterator[tuple[np.ndarray, list[str]]]:
    """Yield images as uint8 (H, W, 3) RGB, with what reading changed, as clauses; see `reading.count_notes`.

    Args:
        images: a path (a file, a folder or a pattern), an array as in `as_rgb`, a PIL image; an iterable of files,
            arrays and PIL images; or an array (N, H, W, C).

    Raises:
        ShapeError: `images` or one of them is of another type, or an array has another shape.
        DataError: a path does not exist or is not an image, or an array has NaN or infinite values.
    """
    if isinstance(images, str | os.PathLike):
        for source in find_images([_path(images, "images")]):
            yield read_with_notes(source.file)
    elif isinstance(images, Image.Image) or (isinstance(images, np.ndarray) and images.ndim != 4):
        yield as_rgb(images, "the image")
    elif isinstance(images, Iterable) and not isinstance(images, bytes | bytearray | Mapping | Set):
        for number, image in enumerate(images):
            if isinstance(image, str | os.PathLike):
                yield read_with_notes(_path(image, f"image {number}"))
            else:
                yield as_rgb(image, f"image {number}")
    else:
        got = "None" if images is None else type(images).__name__
        raise ShapeError(f"Expected images as a path, an array, a PIL image or a list of these, got {got}.")


def _path(path: str | os.PathLike[str], name: str) -> Path:
    """Return a path; an empty one, which Python takes for the working directory, is refused."""
    if not os.fspath(path):
        raise DataError(f"Expected a path as {name}, got an empty string.")
    return as_path(Path(path))
