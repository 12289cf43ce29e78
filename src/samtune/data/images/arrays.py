"""Images handed in from Python, as arrays or PIL images, converted to uint8 RGB by the rules for files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from samtune.data.images.raw import Header, Raw, Samples
from samtune.data.images.reading import convert
from samtune.errors import DataError, ShapeError
from samtune.text import count

MODES = {1: "L", 3: "RGB", 4: "RGBA"}
"""Number of channels of an array -> mode of the image."""


def as_rgb(image: object, name: str) -> tuple[np.ndarray, list[str]]:
    """Return an image as uint8 (H, W, 3) RGB, 0..255.

    The rules are those of `read_image`: uint8 stays as it is, True becomes 255, and samples of any other type are
    scaled per image, so that percentile 0.5 becomes 0 and percentile 99.5 becomes 255. One channel becomes RGB, a
    fourth is dropped. A PIL image is turned upright by its EXIF orientation, as a file is.

    Args:
        image: array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), bool, integer or floating point; or a PIL image.
        name: the image in messages, such as "image 3".

    Returns:
        The image, and what the conversion changed, as clauses; see `reading.count_notes`.

    Raises:
        ShapeError: it is neither, has no pixels or another number of channels, or samples of another type.
        DataError: a sample is NaN or infinite, or a PIL image cannot be decoded.
    """
    pixels = pil_pixels(image, name) if isinstance(image, Image.Image) else image
    if not isinstance(pixels, np.ndarray):
        got = "None" if image is None else f"{type(image).__name__}"
        raise ShapeError(f"Expected {name} as a path, an array or a PIL image, got {got}.")
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    if pixels.ndim not in (2, 3) or channels not in MODES or pixels.size == 0:
        raise ShapeError(
            f"Expected {name} as an array (H, W) or (H, W, C) of 1, 3 or 4 channels with pixels, got shape "
            f"{pixels.shape}; pass several images as a list."
        )
    if pixels.dtype.kind not in "buif":
        raise ShapeError(f"Expected {name} as bool, integers or floating-point numbers, got {pixels.dtype}.")
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        num = count(int((~np.isfinite(pixels)).sum()), "value")
        raise DataError(f"Expected finite values in {name}, got {num} NaN or infinite; replace them.")
    samples = Samples(8 * pixels.dtype.itemsize, pixels.dtype.kind)
    if pixels.dtype.kind == "b":
        pixels, samples = pixels.astype(np.uint8), Samples(1, top=1)
    header = Header((pixels.shape[0], pixels.shape[1]), 1, MODES[channels], channels, 1, False, samples)
    return convert(Raw(pixels, None, header), Path(name))


def pil_pixels(image: Image.Image, name: str) -> np.ndarray:
    """Return a PIL image, upright, as an array: grey and RGB as stored, palettes and other colour spaces as RGB.

    Raises:
        DataError: it cannot be decoded, since its file is damaged or closed.
    """
    try:
        image = ImageOps.exif_transpose(image)
        if image.mode in ("LA", "La"):
            image = image.getchannel("L")
        elif image.mode not in ("1", "L", "RGB") and not image.mode.startswith(("I", "F")):
            image = image.convert("RGB")
        return np.asarray(image)
    except (OSError, ValueError, SyntaxError) as error:
        raise DataError(f"Cannot decode {name}, a PIL image ({error}); open its file again.") from error
