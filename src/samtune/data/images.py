"""Any image file as uint8 RGB: what is scaled, dropped or turned on the way is told, never silent."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from samtune.data.decoding import Header, Raw, decode
from samtune.errors import DataError, ShapeError

if TYPE_CHECKING:
    from pathlib import Path

LOW_PERCENTILE, HIGH_PERCENTILE = 0.5, 99.5
"""Images of more than 8 bit are scaled so that these percentiles of all their values become 0 and 255."""


def read_image(path: Path) -> np.ndarray:
    """An image file as uint8 (H, W, 3) RGB, 0..255, upright.

    PNG, JPEG (CMYK too), TIFF, BMP, WebP, GIF; grey and palette become RGB, alpha is dropped, the first page
    of several is used. 16 bit, 32 bit and float are scaled per image: percentile 0.5 becomes 0, percentile
    99.5 becomes 255. `header_notes` says which of these happened.

    Raises:
        DataError: the file is missing, damaged, no image, has NaN or infinite values, or a number of
            channels other than 1 to 4.
    """
    return to_rgb(decode(path), path)


def to_rgb(raw: Raw, path: Path) -> np.ndarray:
    """A decoded file as uint8 (H, W, 3); see `read_image`."""
    pixels = raw.pixels
    if raw.palette is not None:
        return np.ascontiguousarray(raw.palette[pixels])
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    channels = pixels.shape[2]
    if channels > 4:
        raise DataError(f"{path}: images must have 1 to 4 channels, but it has {channels}; save three of them as RGB")
    pixels = pixels[..., :1] if channels <= 2 else pixels[..., :3]
    if pixels.dtype != np.uint8:
        pixels = scale_to_bytes(pixels, path)
    return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))


def scale_to_bytes(pixels: np.ndarray, path: Path) -> np.ndarray:
    """16-bit, 32-bit or float values as uint8: the percentiles 0.5 and 99.5 of the image become 0 and 255.

    Raises:
        DataError: a value is NaN or infinite.
    """
    values = pixels.astype(np.float64)
    if not np.isfinite(values).all():
        num = int((~np.isfinite(values)).sum())
        raise DataError(f"{path}: images must have finite values, but {num} are NaN or infinite; fill them")
    low, high = np.percentile(values, (LOW_PERCENTILE, HIGH_PERCENTILE))
    if high <= low:
        low, high = values.min(), values.max()
    if high <= low:
        return np.zeros(pixels.shape, np.uint8)
    scaled: np.ndarray = np.clip((values - low) * (255 / (high - low)) + 0.5, 0, 255).astype(np.uint8)
    return scaled


def header_notes(header: Header) -> list[str]:
    """What reading this image changes, as clauses that finish "N images ..."."""
    notes = []
    if header.mode == "deep" or header.mode in ("I", "F") or header.mode.startswith("I;16"):
        notes.append("have more than 8 bit: each scaled so that its percentiles 0.5 and 99.5 become 0 and 255")
    if header.mode in ("RGBA", "LA", "PA"):
        notes.append("have an alpha channel: dropped")
    if header.orientation != 1:
        notes.append("carry an EXIF rotation: applied")
    if header.pages > 1:
        notes.append("have several pages: only the first is used")
    if header.mode == "CMYK":
        notes.append("are CMYK: converted to RGB")
    return notes


def content_id(image: np.ndarray) -> str:
    """sha256 (hex) of the decoded pixels, their shape and type: the same for a lossless copy.

    Args:
        image: uint8 (H, W, 3), as `read_image` gives it; any other array works too.

    Raises:
        ShapeError: `image` has no pixels.
    """
    if image.ndim < 2 or image.size == 0:
        raise ShapeError(f"an image must be (H, W) or (H, W, C) with pixels, got shape {image.shape}")
    digest = hashlib.sha256(f"{image.dtype.str}{image.shape}".encode())
    digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()
