"""Conversion of samples that are signed, floating point or of more than 8 bit to bytes, without missing samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from samtune.data.images.raw import Samples

LOW_PERCENTILE, HIGH_PERCENTILE = 0.5, 99.5
"""Percentiles of all valid samples of an image that become 0 and 255."""

HUGE = 1e20
"""Floating-point values of at least this magnitude among ordinary ones mark missing samples (-3.4e38, 1e30)."""

FILL_VALUES = frozenset({0.0, -999.0, -9999.0, -99999.0, -32767.0, -32768.0, -2147483648.0})
"""Values that mark missing samples where they lie far below all others."""

TOPS = frozenset({32767.0, 65535.0, 2147483647.0, 4294967295.0})
"""Highest values of integer types: they mark missing samples, or saturated ones."""

MIN_SHARE = 0.002
"""Smallest share of the samples that a fill value covers; fewer samples do not affect the percentiles."""


def to_bytes(pixels: np.ndarray, samples: Samples) -> tuple[np.ndarray, tuple[str, ...]]:
    """Scale samples so that percentiles 0.5 and 99.5 become 0 and 255; missing samples become 0 (black).

    The percentiles are taken over all channels together. Where white is zero, the scale is reversed.

    Args:
        pixels: (H, W) or (H, W, C) of any real type.
        samples: the storage of the samples.

    Returns:
        uint8 of the same shape, and notes on missing samples, as clauses that follow "1 image" or "3 images".
    """
    missing, notes = find_missing(pixels, samples)
    valid = pixels if missing is None else pixels[~missing]
    if valid.size == 0:
        return np.zeros(pixels.shape, np.uint8), notes
    low, high = _percentiles(valid)
    if high <= low:
        low, high = float(valid.min()), float(valid.max())
    if high <= low:
        return np.zeros(pixels.shape, np.uint8), notes
    if samples.white_is_zero:
        low, high = high, low
    if pixels.dtype.kind in "ui" and pixels.dtype.itemsize <= 2:
        # A lookup table of all possible values is faster.
        lowest = np.iinfo(pixels.dtype).min
        table = _scaled(np.arange(lowest, np.iinfo(pixels.dtype).max + 1), low, high)
        scaled = table[pixels.astype(np.int32) - lowest]
    else:
        scaled = _scaled(pixels if missing is None else np.where(missing, low, pixels), low, high)
    if missing is not None:
        scaled[missing] = 0
    return scaled, notes


def _percentiles(valid: np.ndarray) -> tuple[float, float]:
    """Return the low and the high percentile, linearly interpolated; 16-bit integers are counted, which is faster."""
    if valid.dtype.kind not in "ui" or valid.dtype.itemsize > 2:
        low, high = np.percentile(valid.astype(np.float64).reshape(-1), (LOW_PERCENTILE, HIGH_PERCENTILE))
        return float(low), float(high)
    lowest = np.iinfo(valid.dtype).min
    up_to = np.cumsum(np.bincount(valid.astype(np.int32).reshape(-1) - lowest))
    ranks = (valid.size - 1) * np.array([LOW_PERCENTILE, HIGH_PERCENTILE]) / 100
    below = np.searchsorted(up_to, np.floor(ranks), side="right")
    above = np.searchsorted(up_to, np.ceil(ranks), side="right")
    low, high = lowest + below + (above - below) * (ranks % 1)
    return float(low), float(high)


def _scaled(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return values as uint8: `low` becomes 0, `high` 255, values beyond are clipped; `low` may exceed `high`."""
    # Halved, so that even the widest range of float64 has a finite width.
    half = np.clip(values.astype(np.float64), min(low, high), max(low, high)) / 2
    return ((half - low / 2) * (255 / (high / 2 - low / 2)) + 0.5).astype(np.uint8)


def find_missing(pixels: np.ndarray, samples: Samples) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Find missing samples: NaN, infinite, of the file's nodata value, or evidently of a fill value.

    A fill value is evident if it is further from all other values than their own range, and covers areas without a
    slope towards their surroundings. -9999, -32768 and magnitudes of at least 1e20 count anywhere. The type's highest
    value, which saturation yields too, and 0 count only in areas that reach the border of the image, and 0 only if it
    covers at most half of the image.

    Returns:
        bool of the shape of `pixels`, True for missing, None if no sample is missing; and notes, as clauses that
        follow "1 image" or "3 images".
    """
    missing = np.zeros(pixels.shape, bool)
    notes: list[str] = []
    if pixels.dtype.kind == "f":
        missing |= ~np.isfinite(pixels)
        if missing.any():
            notes.append("with NaN or infinite values: left out of the scaling and shown black")
    if samples.nodata is not None and np.isfinite(samples.nodata):
        hit = _equal(pixels, samples.nodata) & ~missing
        if hit.any():
            missing |= hit
            notes.append(
                f"with pixels of the file's nodata value {samples.nodata:g}: left out of the scaling, shown black"
            )
    if pixels.dtype.kind == "f" and pixels.dtype.itemsize > 2:
        notes += _find_huge(pixels, missing)
    notes += _find_fill_values(pixels, missing)
    if missing.all():
        notes.append("without a valid pixel: shown all black")
    return (missing if missing.any() else None), tuple(notes)


def _equal(pixels: np.ndarray, value: float) -> np.ndarray:
    """Return where the samples equal a value; floats to a relative 1e-6, the precision of decimal numbers in tags."""
    if pixels.dtype.kind != "f":
        same: np.ndarray = pixels == int(value)
        return same
    with np.errstate(invalid="ignore", over="ignore"):
        return np.abs(pixels.astype(np.float64) - value) <= 1e-6 * abs(value)


def _find_huge(pixels: np.ndarray, missing: np.ndarray) -> list[str]:
    """Add to `missing` the floats of magnitude 1e20 or more, if the others are ordinary numbers; return notes."""
    with np.errstate(invalid="ignore"):
        huge = (np.abs(pixels) >= HUGE) & ~missing
    rest = ~huge & ~missing
    if not huge.any() or not rest.any() or float(np.abs(pixels[rest]).max()) > HUGE / 1e10:
        return []
    missing |= huge
    return ["with values beyond 1e20 among ordinary ones: treated as missing, left out of the scaling, shown black"]


def _find_fill_values(pixels: np.ndarray, missing: np.ndarray) -> list[str]:
    """Add to `missing` the lowest and the highest value where they evidently are fill values; return notes."""
    if pixels.dtype.itemsize < 2:
        return []
    notes = []
    for end in (np.min, np.max):
        valid = pixels[~missing] if missing.any() else pixels
        if valid.size == 0:
            break
        value = end(valid)
        if float(value) not in (FILL_VALUES if end is np.min else TOPS):
            continue
        hit = (pixels == value) & ~missing
        others = pixels[~hit & ~missing]
        if hit.sum() < MIN_SHARE * pixels.size or others.size == 0:
            continue
        low, high = (float(v) for v in np.percentile(others, (LOW_PERCENTILE, HIGH_PERCENTILE)))
        gap = low - float(value) if end is np.min else float(value) - high
        if high <= low or gap <= high - low or not _is_block(hit):
            continue
        if value == 0 and (hit.mean() > 0.5 or not _reaches_border(hit)):
            continue  # a dark background rather than an empty frame
        ring = _neighbours(pixels, hit)
        slope = ring < np.percentile(others, 5) if end is np.min else ring > np.percentile(others, 95)
        if ring.size and slope.mean() > 0.5:
            continue
        if end is np.max and not _reaches_border(hit):
            notes.append(
                f"with areas of the highest value {value:g}, far above all others: treated as saturated; if these "
                "pixels are missing, give the file a nodata value"
            )
            continue
        missing |= hit
        notes.append(f"with areas of {value:g}, far from all other values: treated as missing, shown black")
    return notes


def _is_block(hit: np.ndarray) -> bool:
    """Return whether most hits lie in areas of at least 3 x 3, not in lines or points; the border counts as inside."""
    mask = hit.astype(np.uint8)
    kernel = np.ones((3, 3), np.uint8)
    inner = cv2.erode(mask, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=1)
    # OpenCV drops a last axis of length 1.
    opened = cv2.dilate(inner, kernel).reshape(mask.shape)
    return bool((opened & mask).sum() >= 0.5 * mask.sum())


def _neighbours(pixels: np.ndarray, hit: np.ndarray) -> np.ndarray:
    """Return the samples next to the hits."""
    mask = hit.astype(np.uint8)
    grown = cv2.dilate(mask, np.ones((3, 3), np.uint8)).reshape(mask.shape)
    neighbours: np.ndarray = pixels[grown > mask]
    return neighbours


def _reaches_border(hit: np.ndarray) -> bool:
    """Return whether most hits belong to areas that touch the border of the image."""
    flat = hit if hit.ndim == 2 else hit.any(axis=2)
    _, areas = cv2.connectedComponents(flat.astype(np.uint8), connectivity=8)
    border = np.unique(np.concatenate([areas[0], areas[-1], areas[:, 0], areas[:, -1]]))
    return bool(np.isin(areas, border[border > 0]).sum() >= 0.8 * flat.sum())
