"""Statistics of one mask file, from one decoding: the input from which the encoding of a folder is inferred."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from samtune.data.images.decoding import decode
from samtune.data.masks.channels import (
    alpha_channel,
    as_integers,
    grey_channel,
    is_one_hot,
    is_visible,
    pack,
    packed_colours,
    round_floats,
)
from samtune.data.masks.spread import Levels, Spread, measure_spread
from samtune.data.options import MAX_VALUE
from samtune.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from samtune.data.images.raw import Raw

MAX_COLOURS = 16384
"""A mask with more colours than this is treated as a photograph; only this many are kept."""

PLAIN_VALUES = frozenset({0, 1, 255, 65535})
"""A mask of 0 and one of these is certainly binary, so its spread is not measured."""


@dataclass(frozen=True)
class MaskStats:
    """The values of one mask, the pixels of each, and how the file stores them.

    Attributes:
        path: the mask file.
        hw: rows and columns.
        form: "value" (integers), "palette" (values are indices), "float", "colour" (values are 0xRRGGBB), or "alpha"
            (transparency varies; values are 0xRRGGBB of visible pixels, 0 elsewhere).
        values: sorted unique values, int64. For "float": float64, NaN last; rounded, unless all are whole numbers,
            to 1/255 if they lie within about 0..1 and to integers otherwise.
        counts: pixels of each value, int64.
        bits: bits per value in the file, 1 to 64; 8 for palette indices.
        lossy: whether the format changes pixel values.
        palette: ((index, 0xRRGGBB), ...) of the indices in use.
        alpha: for "alpha", the alpha values with their counts and spread; else None.
        visible: for "alpha", the colours of the visible pixels.
        pages: number of pages of the file; only the first is used.
        inverted: whether the file displays low values as bright (white is zero, or an inverting palette).
        spread: where the pixels of each value lie; None for colours and for plain binary masks.
        fractional: for "float", whether any value is not a whole number.
        one_hot: whether the channels look like one mask per class; see `is_one_hot`.
        truncated: whether there were more than `MAX_COLOURS` colours, so that `values` and `counts` are incomplete.
        orientation: EXIF orientation 1..8 of the mask file; it has been applied.
    """

    path: Path
    hw: tuple[int, int]
    form: str
    values: np.ndarray
    counts: np.ndarray
    bits: int
    lossy: bool
    palette: tuple[tuple[int, int], ...] = ()
    alpha: Levels | None = None
    visible: tuple[int, ...] = ()
    pages: int = 1
    inverted: bool = False
    spread: Spread | None = None
    fractional: bool = False
    one_hot: bool = False
    truncated: bool = False
    orientation: int = 1

    @property
    def num_values(self) -> int:
        """Number of different values; of alpha values for the form "alpha"."""
        return len(self.values) if self.alpha is None else len(self.alpha.values)

    def values_as(self, reads: str) -> np.ndarray:
        """Return `values` in the form that `MaskEncoding.reads` names: int64, in the order of `counts`."""
        if self.form == "palette" and reads in ("grey", "colour"):
            packed = np.array([colour for _, colour in self.palette], np.int64)
            return packed if reads == "colour" else packed & 255
        if self.form == "float":
            return as_integers(self.values, reads)
        if self.form == "value" and reads == "colour":
            # Files of fewer than 8 bits are displayed scaled up: the 1 of a 1-bit file is white.
            return self.values * (255 // (2**self.bits - 1) if self.bits < 8 else 1) * 0x010101
        return self.values.astype(np.int64)


def survey_mask(path: Path) -> MaskStats:
    """Decode one mask, count its values and, unless it is plainly binary, measure where they lie.

    Raises:
        DataError: the file is damaged, or its pixels are not those of a mask: infinity, NaN alone, colours of more than
            8 bits, bands that are not RGB, or values of 2**53 and more.
    """
    raw = decode(path)
    stats = _survey(path, raw)
    inverted = stats.inverted or (raw.header.samples.white_is_zero and stats.form in ("value", "float"))
    return replace(stats, orientation=raw.header.orientation, inverted=inverted)


def _survey(path: Path, raw: Raw) -> MaskStats:
    header, pixels, hw = raw.header, raw.pixels, (raw.pixels.shape[0], raw.pixels.shape[1])
    bits = 8 if raw.palette is not None else header.samples.bits
    if raw.palette is not None:
        values, counts = _count(pixels)
        used = tuple((int(v), int(pack(raw.palette[v]))) for v in values)
        spread = _spread(pixels, values, counts)
        return MaskStats(
            path, hw, "palette", values, counts, bits, header.lossy, used,
            pages=header.pages, spread=spread, inverted=_is_inverting(used),
        )  # fmt: skip
    alpha = alpha_channel(raw)
    if alpha is not None:
        return _survey_alpha(path, raw, alpha)
    grey = grey_channel(raw)
    if grey is None:
        return _survey_colours(path, raw, bits)
    if grey.dtype.kind == "f":
        return _survey_float(path, grey, bits, header.pages)
    values, counts = _count(grey)
    _check_range(path, values)
    return MaskStats(
        path, hw, "value", values, counts, bits, header.lossy, pages=header.pages, spread=_spread(grey, values, counts),
    )  # fmt: skip


def _count(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the unique values (floats unchanged, else int64) and their counts.

    Memory grows with the number of pixels, not with the size of the values.
    """
    flat = values.reshape(-1)
    if flat.dtype in (np.uint8, np.uint16):
        counts = np.bincount(flat)
        used = np.flatnonzero(counts)
        return used.astype(np.int64), counts[used].astype(np.int64)
    used, counts = np.unique(flat, return_counts=True)
    return (used if used.dtype.kind == "f" else used.astype(np.int64)), counts.astype(np.int64)


def _is_inverting(palette: tuple[tuple[int, int], ...]) -> bool:
    """Return whether higher indices are darker greys."""
    greys = [colour & 255 for _, colour in palette if colour == (colour & 255) * 0x010101]
    return len(greys) == len(palette) and (greys != sorted(greys) or palette == ((0, 0xFFFFFF),))


def _spread(plane: np.ndarray, values: np.ndarray, counts: np.ndarray) -> Spread | None:
    """Measure the spread, unless the values are 0 and at most one of `PLAIN_VALUES`."""
    if len(values) <= 2 and PLAIN_VALUES.issuperset(values.tolist()) and 0 in values:
        return None
    return measure_spread(plane, values, counts)


def _check_range(path: Path, values: np.ndarray) -> None:
    largest = values[np.argmax(np.abs(values.astype(np.float64)))]
    if abs(float(largest)) >= MAX_VALUE:
        raise DataError(f"{path}: expected mask values below 2**53, got {largest}; save the mask with 32-bit ids")


def _survey_colours(path: Path, raw: Raw, bits: int) -> MaskStats:
    header, hw = raw.header, (raw.pixels.shape[0], raw.pixels.shape[1])
    bands = raw.pixels.shape[2] - header.has_alpha
    one_hot = is_one_hot(raw.pixels)
    per_class = "; each pixel is set in one band only, so the bands may be one per class" if one_hot else ""
    if bands != 3:
        raise DataError(
            f"{path}: expected a mask of one band, got {bands} bands that differ{per_class}; save one band in which "
            "each class has its own value, such as `np.argmax(bands, axis=2)` if band 0 is the background"
        )
    if bits > 8:
        raise DataError(
            f"{path}: expected colour masks of 8 bits per channel, got {bits}{per_class}; save the mask as 8-bit RGB "
            "or as class ids"
        )
    values, counts = _count(packed_colours(raw))
    return MaskStats(
        path, hw, "colour", values[:MAX_COLOURS], counts[:MAX_COLOURS], bits, header.lossy, pages=header.pages,
        one_hot=one_hot, truncated=len(values) > MAX_COLOURS,
    )  # fmt: skip


def _survey_alpha(path: Path, raw: Raw, alpha: np.ndarray) -> MaskStats:
    colours = packed_colours(raw) if raw.pixels.dtype == np.uint8 else np.zeros(alpha.shape, np.int32)
    values, counts = _count(colours)
    visible = np.unique(colours[is_visible(alpha)])[:MAX_COLOURS]
    levels, pixels = _count(alpha)
    return MaskStats(
        path, (alpha.shape[0], alpha.shape[1]), "alpha", values[:MAX_COLOURS], counts[:MAX_COLOURS], 8,
        raw.header.lossy, alpha=Levels(levels, pixels, measure_spread(alpha, levels, pixels)),
        visible=tuple(int(v) for v in visible), pages=raw.header.pages, one_hot=is_one_hot(raw.pixels),
        truncated=len(values) > MAX_COLOURS,
    )  # fmt: skip


def _survey_float(path: Path, grey: np.ndarray, bits: int, pages: int) -> MaskStats:
    missing = np.isnan(grey)
    if np.isinf(grey).any():
        raise DataError(f"{path}: expected finite mask values, got infinity; save the mask with 0 and 1")
    if missing.all():
        raise DataError(f"{path}: expected finite mask values, but every pixel is NaN; save the mask with 0 and 1")
    plane = round_floats(grey)
    values, counts = _count(plane)
    finite = grey[~missing]
    fractional = bool((finite != np.round(finite)).any())
    _check_range(path, values[~np.isnan(values)])
    # NaN sorts last. It is measured as if it were the lowest value, and then counts as an area, never as a rim.
    filled, numbers = np.where(missing, values[0], plane), values[: len(values) - bool(missing.any())]
    pixels = counts[: len(numbers)] + np.where(numbers == values[0], missing.sum(), 0)
    spread = _spread(filled, numbers, pixels)
    if spread is not None and len(numbers) < len(values):
        core = np.append(np.minimum(spread.core, counts[:-1]), counts[-1])
        spread = Spread(core, *(np.append(each, 0) for each in spread[1:]))
    return MaskStats(
        path, (grey.shape[0], grey.shape[1]), "float", values, counts, bits, False,
        pages=pages, spread=spread, fractional=fractional,
    )  # fmt: skip
