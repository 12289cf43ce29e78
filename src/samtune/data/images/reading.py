"""Any image file as uint8 RGB, with notes on what was scaled, dropped or rotated."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from samtune.data.images.decoding import decode
from samtune.data.images.intensity import find_missing, to_bytes
from samtune.data.images.raw import as_displayed
from samtune.errors import DataError, ShapeError
from samtune.text import count

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from samtune.data.images.raw import Header, Raw


def read_image(path: Path) -> np.ndarray:
    """Read an image file as uint8 (H, W, 3) RGB, 0..255, upright.

    PNG, JPEG (also CMYK), TIFF, BMP, WebP, GIF and PNM are read. Grey and palette images become RGB, alpha and a fourth
    band are dropped, and the first of several pages is used. Samples of up to 8 bit are scaled so that the highest
    value of their depth becomes 255. Samples of 16 and 32 bit, signed and floating point are scaled per image:
    percentile 0.5 becomes 0 and percentile 99.5 becomes 255; NaN and missing samples do not count and become 0. Images
    that store white as zero are inverted. `read_with_notes` also returns which of these conversions were applied.

    Raises:
        DataError: the file is missing, damaged, not an image, too large (see `limits`), or has two channels without
            alpha, or five or more.
    """
    return read_with_notes(path)[0]


def read_with_notes(path: Path) -> tuple[np.ndarray, list[str]]:
    """Return an image as `read_image` does, and what reading changed, as clauses; see `count_notes`.

    Raises:
        DataError: as `read_image`.
    """
    return convert(decode(path), path)


def convert(raw: Raw, path: Path) -> tuple[np.ndarray, list[str]]:
    """Return decoded samples as uint8 (H, W, 3) RGB, and what was changed, as clauses; see `read_with_notes`.

    Raises:
        DataError: the number of channels is not 1, 3 or 4 besides alpha, or memory does not suffice.
    """
    try:
        rgb, missing = _picture(raw, path)
    except MemoryError as error:
        raise DataError(f"{path}: scaling the image takes more memory than is available; cut it into tiles") from error
    return rgb, [*header_notes(raw.header), *missing]


def to_rgb(raw: Raw, path: Path) -> np.ndarray:
    """Return a decoded file as uint8 (H, W, 3) RGB; see `read_image`."""
    return _picture(raw, path)[0]


def _picture(raw: Raw, path: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return a decoded file as uint8 (H, W, 3), and clauses on missing samples."""
    if raw.palette is not None:
        return np.ascontiguousarray(raw.palette[raw.pixels]), ()
    pixels, samples = _colour_channels(raw, path), raw.header.samples
    notes: tuple[str, ...] = ()
    if samples.has_bytes:
        pixels = as_displayed(pixels, samples)
    else:
        pixels, notes = to_bytes(pixels, samples)
    return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3))), notes


def _colour_channels(raw: Raw, path: Path) -> np.ndarray:
    """Return the stored samples that are shown: (H, W, 1) grey or (H, W, 3) RGB."""
    pixels, header = raw.pixels, raw.header
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    channels = pixels.shape[2] - header.has_alpha
    if channels not in (1, 3, 4):
        raise DataError(
            f"{path}: expected an image of 1, 3 or 4 channels, got {channels}; save the relevant ones as grey or RGB"
        )
    return pixels[..., : min(channels, 3)]


def header_notes(header: Header) -> list[str]:
    """Return what reading an image changes, as clauses; see `count_notes`."""
    notes = list(header.notes)
    if not header.samples.has_bytes:
        notes.append(
            "with more than 8 bit, or signed values: each scaled so that its percentiles 0.5 and 99.5 become 0 and 255"
        )
    if header.samples.white_is_zero:
        notes.append("with white stored as zero: inverted")
    if header.has_alpha:
        notes.append("with an alpha channel: dropped")
    if header.orientation != 1:
        notes.append("with an EXIF rotation: applied")
    if header.pages > 1:
        notes.append("with several pages: only the first is used")
    if header.mode == "CMYK":
        notes.append("in CMYK: converted to RGB")
    return notes


def image_notes(raw: Raw, path: Path) -> list[str]:
    """Return `header_notes`, and clauses on missing samples, which only the decoded pixels show."""
    notes = header_notes(raw.header)
    if raw.palette is None and not raw.header.samples.has_bytes:
        notes += find_missing(_colour_channels(raw, path), raw.header.samples)[1]
    return notes


def count_notes(clauses: Iterable[Sequence[str]]) -> list[str]:
    """Return one sentence per change, such as "3 images with an EXIF rotation: applied".

    Args:
        clauses: for each image, the clauses that complete the sentence, such as "with an EXIF rotation: applied".
    """
    totals = Counter(clause for of_image in clauses for clause in of_image)
    return [f"{count(num, 'image')} {clause}" for clause, num in totals.items()]


def content_id(image: np.ndarray) -> str:
    """Return the sha256 (hex) of the decoded pixels, their shape and type; equal for lossless copies.

    Args:
        image: uint8 (H, W, 3) from `read_image`, or any other array.

    Raises:
        ShapeError: `image` is empty or has fewer than two axes.
    """
    if image.ndim < 2 or image.size == 0:
        raise ShapeError(f"Expected an image (H, W) or (H, W, C) with pixels, got shape {image.shape}.")
    digest = hashlib.sha256(f"{image.dtype.str}{image.shape}".encode())
    digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()
