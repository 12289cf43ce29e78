"""What one mask file holds, counted in one decoding: enough to infer the encoding of the whole folder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from samtune.data.images.decoding import decode
from samtune.data.images.raw import shown
from samtune.data.masks.levels import Levels, Spread, measure_spread
from samtune.data.options import MAX_VALUE
from samtune.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from samtune.data.images.raw import Raw

MAX_COLOURS = 16384
"""Masks with more colours than this are photographs; their colours are not counted further."""

JPEG_GREY_TOLERANCE = 12
"""How far the channels of a JPEG may differ for it to count as grey."""

HALF = 127
"""Alpha above it is visible, unless all alphas of a file lie below: then whatever is not 0 is visible."""

MAX_OVERSHOOT = 0.3
"""By how much of the object's value interpolation may go beyond background and object."""

NAN = -(2**63)
"""Stands for NaN where the values of a mask are integers (int64)."""

PLAIN = frozenset({0, 1, 255, 65535})
"""A mask with 0 and one of these needs no look at how its values lie."""


@dataclass(frozen=True)
class MaskStats:
    """The values of one mask and how many pixels have each.

    Attributes:
        path: the mask file.
        hw: rows and columns.
        form: "value" (integers), "palette" (values are indices), "float", "colour" (values are 0xRRGGBB),
            "alpha" (transparency varies; values are 0xRRGGBB where visible, 0 where not).
        values: sorted unique values, int64; float64 for "float" (rounded unless all integral: to 1/255 where
            they lie within about 0..1, else to integers; NaN last).
        counts: int64 pixels of each value.
        bits: bits per value as stored in the file, 1 to 64; 8 for palette indices.
        lossy: whether the format blurs values.
        palette: ((index, 0xRRGGBB), ...) of the used indices.
        alpha: the alpha values of "alpha" with their pixels and spread; None for other forms.
        visible: the colours of the visible pixels of "alpha".
        pages: pages of the file; only the first is used.
        inverted: the file shows low values bright: white is zero, or an inverting palette.
        spread: how the values lie in the plane; None where the values leave no doubt, or are colours.
        fractional: whether a "float" has values that are not integral.
        one_hot: whether each pixel has a value in one channel alone, so that the channels may be the classes.
        truncated: whether there were more colours than `MAX_COLOURS`, so that `values` and `counts` lack some.
        orientation: EXIF orientation 1..8 of the mask file itself, by which it has been turned.
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
        """Different values of the mask, of its alpha where that carries it."""
        return len(self.values) if self.alpha is None else len(self.alpha.values)


def pack(rgb: np.ndarray) -> np.ndarray:
    """Colours uint8 (..., 3) as int32 0xRRGGBB (...)."""
    wide = rgb.astype(np.int32)
    packed: np.ndarray = (wide[..., 0] << 16) | (wide[..., 1] << 8) | wide[..., 2]
    return packed


def unpack(colour: int) -> tuple[int, int, int]:
    """0xRRGGBB as (red, green, blue)."""
    return (colour >> 16) & 255, (colour >> 8) & 255, colour & 255


def _count(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unique values (int64, or as they are for floats) and their counts; the memory does not depend on the values."""
    flat = values.reshape(-1)
    if flat.dtype in (np.uint8, np.uint16):
        counts = np.bincount(flat)
        found = np.flatnonzero(counts)
        return found.astype(np.int64), counts[found].astype(np.int64)
    found, counts = np.unique(flat, return_counts=True)
    return (found if found.dtype.kind == "f" else found.astype(np.int64)), counts.astype(np.int64)


def grey_of(raw: Raw) -> np.ndarray | None:
    """The stored samples of a mask's single channel, or None where its channels truly differ.

    Grey stored as RGB counts as grey; an alpha channel is passed over, other bands are not.
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


def alpha_of(raw: Raw) -> np.ndarray | None:
    """uint8 (H, W) alpha where the file has transparent pixels, else None (no alpha, or opaque)."""
    pixels = raw.pixels
    if pixels.ndim == 3 and raw.header.has_alpha and pixels.dtype in (np.uint8, np.uint16):
        alpha = pixels[..., -1]
        alpha = alpha if alpha.dtype == np.uint8 else (alpha >> 8).astype(np.uint8)
        if alpha.min() <= HALF:
            return alpha
    return None


def is_visible(alpha: np.ndarray) -> np.ndarray:
    """Bool of alpha's shape: above one half; above 0 where the whole file stays below one half."""
    visible: np.ndarray = alpha > (HALF if alpha.max() > HALF else 0)
    return visible


def colours_of(raw: Raw) -> np.ndarray:
    """int32 (H, W) 0xRRGGBB, as shown, of any mask of at most 8 bit; transparent pixels are black."""
    pixels = raw.pixels
    if raw.palette is not None:
        indexed: np.ndarray = pack(raw.palette)[pixels]
        return indexed
    pixels = shown(pixels, raw.header.samples)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    rgb = np.broadcast_to(pixels[..., :1], (*pixels.shape[:2], 3)) if pixels.shape[2] <= 2 else pixels[..., :3]
    packed = pack(rgb)
    alpha = alpha_of(raw)
    return packed if alpha is None else np.where(is_visible(alpha), packed, 0)


def is_one_hot(pixels: np.ndarray) -> bool:
    """Whether (H, W, C) pixels have a value in at most one channel each, all the same one, in two channels or more.

    Bright colours of RGB masks (pure red, green and blue on black) look the same: the caller decides.
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


def survey_mask(path: Path) -> MaskStats:
    """Decode one mask, count its values and, where they may be noise, look how they lie.

    Raises:
        DataError: the file is damaged, or holds values no mask can have (infinity, 16-bit colours, more than
            4 channels, values beyond 2**53).
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
            pages=header.pages, spread=spread, inverted=_inverts(used),
        )  # fmt: skip
    alpha = alpha_of(raw)
    if alpha is not None:
        return _survey_alpha(path, raw, alpha)
    grey = grey_of(raw)
    if grey is None:
        return _survey_colours(path, raw, bits)
    if grey.dtype.kind == "f":
        return _survey_float(path, grey, bits, header.pages)
    values, counts = _count(grey)
    _check_range(path, values)
    return MaskStats(
        path, hw, "value", values, counts, bits, header.lossy, pages=header.pages, spread=_spread(grey, values, counts),
    )  # fmt: skip


def _inverts(palette: tuple[tuple[int, int], ...]) -> bool:
    """Whether higher indices are darker greys."""
    greys = [colour & 255 for _, colour in palette if colour == (colour & 255) * 0x010101]
    return len(greys) == len(palette) and (greys != sorted(greys) or palette == ((0, 0xFFFFFF),))


def _spread(plane: np.ndarray, values: np.ndarray, counts: np.ndarray) -> Spread | None:
    """How the values lie, where there are more than 0 and one value that masks are usually written with."""
    if len(values) <= 2 and PLAIN.issuperset(values.tolist()) and 0 in values:
        return None
    return measure_spread(plane, values, counts)


def _check_range(path: Path, values: np.ndarray) -> None:
    largest = values[np.argmax(np.abs(values.astype(np.float64)))]
    if abs(float(largest)) >= MAX_VALUE:
        raise DataError(f"{path}: mask values lie below 2**53, but this mask has {largest}; save it as 32-bit ids")


def _survey_colours(path: Path, raw: Raw, bits: int) -> MaskStats:
    header, hw = raw.header, (raw.pixels.shape[0], raw.pixels.shape[1])
    bands = raw.pixels.shape[2] - header.has_alpha
    if bands != 3:
        what = (
            "a value in one band alone at each pixel: one for each class?" if is_one_hot(raw.pixels) else "a mask each?"
        )
        raise DataError(
            f"{path}: the mask has {bands} bands that differ ({what}), so none of them alone is the mask; save one "
            "band in which each class has its value, such as `np.argmax(bands, axis=2)` if the first is the background"
        )
    if bits > 8:
        what = " (a value in one channel alone at each pixel: one for each class?)" if is_one_hot(raw.pixels) else ""
        raise DataError(
            f"{path}: colour masks have 8 bit, but this one has {bits}{what}; save it as 8-bit RGB or as class ids"
        )
    values, counts = _count(colours_of(raw))
    truncated = len(values) > MAX_COLOURS
    return MaskStats(
        path, hw, "colour", values[:MAX_COLOURS], counts[:MAX_COLOURS], bits, header.lossy, pages=header.pages,
        one_hot=is_one_hot(raw.pixels), truncated=truncated,
    )  # fmt: skip


def _survey_alpha(path: Path, raw: Raw, alpha: np.ndarray) -> MaskStats:
    colours = colours_of(raw) if raw.pixels.dtype == np.uint8 else np.zeros(alpha.shape, np.int32)
    values, counts = _count(colours)
    visible = np.unique(colours[is_visible(alpha)])[:MAX_COLOURS]
    levels, pixels = _count(alpha)
    return MaskStats(
        path, (alpha.shape[0], alpha.shape[1]), "alpha", values[:MAX_COLOURS], counts[:MAX_COLOURS], 8,
        raw.header.lossy, alpha=Levels(levels, pixels, measure_spread(alpha, levels, pixels)),
        visible=tuple(int(v) for v in visible), pages=raw.header.pages, one_hot=is_one_hot(raw.pixels),
        truncated=len(values) > MAX_COLOURS,
    )  # fmt: skip


def round_floats(grey: np.ndarray) -> np.ndarray:
    """float64 of a float mask: as it is where all is integral, else rounded: see `MaskStats.values`."""
    plane = grey.astype(np.float64)
    finite = plane[np.isfinite(plane)]
    if not finite.size or (finite == np.round(finite)).all():
        return plane
    rounded: np.ndarray = np.round(plane * 255) / 255 if _is_unit(finite) else np.round(plane)
    return rounded


def _is_unit(finite: np.ndarray) -> bool:
    """Whether values lie within 0..1, overshoot of interpolation included."""
    return bool(finite.min() >= -MAX_OVERSHOOT and finite.max() <= 1 + MAX_OVERSHOOT)


def _survey_float(path: Path, grey: np.ndarray, bits: int, pages: int) -> MaskStats:
    missing = np.isnan(grey)
    if np.isinf(grey).any():
        raise DataError(f"{path}: masks have finite values, but this one has infinity; save 0 and 1 instead")
    if missing.all():
        raise DataError(f"{path}: masks have finite values, but every pixel of this one is NaN; save 0 and 1 instead")
    plane = round_floats(grey)
    values, counts = _count(plane)
    finite = grey[~missing]
    fractional = bool((finite != np.round(finite)).any())
    _check_range(path, values[~np.isnan(values)])
    # NaN is the last of the values. It is measured as the lowest one, and then counts as an area, never as a rim.
    filled, known = np.where(missing, values[0], plane), values[: len(values) - bool(missing.any())]
    pixels = counts[: len(known)] + np.where(known == values[0], missing.sum(), 0)
    spread = _spread(filled, known, pixels)
    if spread is not None and len(known) < len(values):
        core = np.append(np.minimum(spread.core, counts[:-1]), counts[-1])
        spread = Spread(core, *(np.append(each, 0) for each in (spread.between, spread.lonely, spread.inside)))
    return MaskStats(
        path, (grey.shape[0], grey.shape[1]), "float", values, counts, bits, False,
        pages=pages, spread=spread, fractional=fractional,
    )  # fmt: skip
