"""A decoded mask file as one grey channel, as alpha, or as packed colours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from samtune.data.images.raw import as_displayed

if TYPE_CHECKING:
    from samtune.data.images.raw import Raw

JPEG_GREY_TOLERANCE = 12
"""Largest difference between the channels of a JPEG that still counts as grey."""

HALF = 127
"""Alpha above this is visible, unless no pixel of the file is above it: then any alpha above 0 is visible."""

UNIT_OVERSHOOT = 0.3
"""Interpolation of a mask within 0..1 may leave values this far outside that range."""

NAN = -(2**63)
"""Stands for NaN where the values of a mask are integers (int64)."""


def pack(rgb: np.ndarray) -> np.ndarray:
    """Return colours uint8 (..., 3) as int32 (...): 0xRRGGBB."""
    wide = rgb.astype(np.int32)
    packed: np.ndarray = (wide[..., 0] << 16) | (wide[..., 1] << 8) | wide[..., 2]
    return packed


def unpack(colour: int) -> tuple[int, int, int]:
    """Return 0xRRGGBB as (red, green, blue)."""
    return (colour >> 16) & 255, (colour >> 8) & 255, colour & 255


def grey_channel(raw: Raw) -> np.ndarray | None:
    """Return the stored samples (H, W) of a mask with a single channel; None if its channels differ.

    Grey saved as RGB counts as a single channel. An alpha channel is ignored; other bands are not.
    """
    pixels = raw.pixels
    if pixels.ndim == 2:
        return pixels
    rgb = pixels[..., :-1] if raw.header.has_alpha else pixels
    if rgb.shape[2] == 1:
        first: np.ndarray = rgb[..., 0]
        return first
    if raw.header.lossy and rgb.dtype == np.uint8:
        wide = rgb.astype(np.int16)
        if (wide.max(axis=2) - wide.min(axis=2)).max() <= JPEG_GREY_TOLERANCE:
            middle: np.ndarray = rgb[..., 1]
            return middle
        return None
    if (rgb[..., :1] == rgb).all():
        red: np.ndarray = rgb[..., 0]
        return red
    return None


def alpha_channel(raw: Raw) -> np.ndarray | None:
    """Return alpha as uint8 (H, W) if the file has transparent pixels; None without alpha, or if all is opaque."""
    pixels = raw.pixels
    if pixels.ndim == 3 and raw.header.has_alpha and pixels.dtype in (np.uint8, np.uint16):
        alpha = pixels[..., -1]
        alpha = alpha if alpha.dtype == np.uint8 else (alpha >> 8).astype(np.uint8)
        if alpha.min() <= HALF:
            return alpha
    return None


def is_visible(alpha: np.ndarray) -> np.ndarray:
    """Return a bool array of alpha's shape: alpha above `HALF`, or above 0 if no pixel is above `HALF`."""
    visible: np.ndarray = alpha > (HALF if alpha.max() > HALF else 0)
    return visible


def packed_colours(raw: Raw) -> np.ndarray:
    """Return the displayed colours of a mask of at most 8 bits, int32 (H, W) 0xRRGGBB; transparent pixels are 0."""
    pixels = raw.pixels
    if raw.palette is not None:
        indexed: np.ndarray = pack(raw.palette)[pixels]
        return indexed
    pixels = as_displayed(pixels, raw.header.samples)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    rgb = np.broadcast_to(pixels[..., :1], (*pixels.shape[:2], 3)) if pixels.shape[2] <= 2 else pixels[..., :3]
    packed = pack(rgb)
    alpha = alpha_channel(raw)
    return packed if alpha is None else np.where(is_visible(alpha), packed, 0)


def is_one_hot(pixels: np.ndarray) -> bool:
    """Return whether the channels of (H, W, C) pixels look like one mask per class.

    True if each pixel is non-zero in at most one channel, all non-zero values are equal (1, 255 or 65535), and at least
    two channels are used. RGB masks of pure red, green and blue on black pass too; the caller has to tell them apart.
    """
    if pixels.ndim != 3 or pixels.shape[2] < 2:
        return False
    used = [pixels[..., channel] != 0 for channel in range(pixels.shape[2])]
    tops = {pixels[..., channel].max() for channel, each in enumerate(used) if each.any()}
    if sum(each.any() for each in used) < 2 or len(tops) != 1 or not tops <= {1, 255, 65535}:
        return False
    return bool((np.sum(used, axis=0) <= 1).all()) and all(
        len(np.unique(pixels[..., channel])) <= 2 for channel in range(pixels.shape[2])
    )


def round_floats(grey: np.ndarray) -> np.ndarray:
    """Return the values of a float mask as float64, rounded unless all are whole numbers: see `MaskStats.values`."""
    plane = grey.astype(np.float64)
    finite = plane[np.isfinite(plane)]
    if not finite.size or (finite == np.round(finite)).all():
        return plane
    is_unit = finite.min() >= -UNIT_OVERSHOOT and finite.max() <= 1 + UNIT_OVERSHOOT
    rounded: np.ndarray = np.round(plane * 255) / 255 if is_unit else np.round(plane)
    return rounded


def as_integers(values: np.ndarray, reads: str) -> np.ndarray:
    """Return float values as int64, times 255 if `reads` is "unit"; NaN becomes `NAN`."""
    missing = np.isnan(values)
    integers = np.round(np.where(missing, 0, values) * (255 if reads == "unit" else 1)).astype(np.int64)
    integers[missing] = NAN
    return integers
