"""What one mask file holds, counted in one decoding: enough to infer the encoding of the whole folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from samtune.data.decoding import decode
from samtune.data.raw import shown
from samtune.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from samtune.data.raw import Raw

MAX_COLOURS = 4096
"""Masks with more colours than this are photographs; their colours are not counted further."""

JPEG_GREY_TOLERANCE = 12
"""How far the channels of a JPEG may differ for it to count as grey."""


@dataclass(frozen=True)
class MaskStats:
    """The values of one mask and how many pixels have each.

    Attributes:
        path: the mask file.
        hw: rows and columns.
        form: "value" (integers), "palette" (values are indices), "float", "colour" (values are 0xRRGGBB),
            "alpha" (transparency varies; values are 0xRRGGBB where visible, 0 where not).
        values: sorted unique values, int64; float64 for "float" (rounded to 1/255 unless all integral).
        counts: int64 pixels of each value.
        bits: bits per value as stored in the file, 1 to 64; 8 for palette indices.
        lossy: whether the format blurs values.
        palette: ((index, 0xRRGGBB), ...) of the used indices.
        opaque: pixels of "alpha" that are visible (alpha > 127); 0 for other forms.
        visible: the colours of the visible pixels of "alpha".
        pages: pages of the file; only the first is used.
        inverted: the file shows low values bright: white is zero, or an inverting palette.
    """

    path: Path
    hw: tuple[int, int]
    form: str
    values: np.ndarray
    counts: np.ndarray
    bits: int
    lossy: bool
    palette: tuple[tuple[int, int], ...] = ()
    opaque: int = 0
    visible: tuple[int, ...] = ()
    pages: int = 1
    inverted: bool = False


def pack(rgb: np.ndarray) -> np.ndarray:
    """Colours uint8 (..., 3) as int32 0xRRGGBB (...)."""
    wide = rgb.astype(np.int32)
    packed: np.ndarray = (wide[..., 0] << 16) | (wide[..., 1] << 8) | wide[..., 2]
    return packed


def unpack(colour: int) -> tuple[int, int, int]:
    """0xRRGGBB as (red, green, blue)."""
    return (colour >> 16) & 255, (colour >> 8) & 255, colour & 255


def _count(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unique values and their counts; by counting for small non-negative integers, by sorting else."""
    flat = values.reshape(-1)
    if flat.dtype == np.uint8 or flat.dtype == np.uint16 or (flat.dtype == np.int32 and flat.min() >= 0):
        counts = np.bincount(flat)
        found = np.flatnonzero(counts)
        return found.astype(np.int64), counts[found].astype(np.int64)
    found, counts = np.unique(flat, return_counts=True)
    return found, counts.astype(np.int64)


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
    if pixels.ndim == 3 and raw.header.has_alpha and pixels.dtype == np.uint8:
        alpha: np.ndarray = pixels[..., -1]
        if alpha.min() <= 127:
            return alpha
    return None


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
    return packed if alpha is None else np.where(alpha > 127, packed, 0)


def survey_mask(path: Path) -> MaskStats:
    """Decode one mask and count its values.

    Raises:
        DataError: the file is damaged, or holds values no mask can have (NaN, 16-bit colours, more than 4
            channels).
    """
    raw = decode(path)
    header, hw = raw.header, (raw.pixels.shape[0], raw.pixels.shape[1])
    pixels = raw.pixels
    bits = 8 if raw.palette is not None else header.samples.bits
    if raw.palette is not None:
        values, counts = _count(pixels)
        used = tuple((int(v), int(pack(raw.palette[v]))) for v in values)
        return MaskStats(
            path, hw, "palette", values, counts, bits, header.lossy, used, pages=header.pages, inverted=_inverts(used)
        )
    alpha = alpha_of(raw)
    if alpha is not None:
        return _survey_alpha(path, raw, alpha)
    grey = grey_of(raw)
    if grey is None:
        bands = pixels.shape[2] - header.has_alpha
        if bands != 3:
            raise DataError(
                f"{path}: the mask has {bands} bands that differ, so none of them alone is the mask; save one band in "
                "which each class has its value"
            )
        if bits > 8:
            raise DataError(f"{path}: colour masks must have 8 bit, but it has {bits}; save it as 8-bit RGB or as ids")
        values, counts = _count(colours_of(raw))
        if len(values) > MAX_COLOURS:
            values, counts = values[:MAX_COLOURS], counts[:MAX_COLOURS]
        return MaskStats(path, hw, "colour", values, counts, bits, header.lossy, pages=header.pages)
    if grey.dtype.kind == "f":
        return _survey_float(path, grey, bits, header.pages)
    values, counts = _count(grey)
    if values[0] < 0:
        raise DataError(f"{path}: masks must have values of 0 and above, but it has {values[0]}; save ids from 0")
    return MaskStats(
        path, hw, "value", values.astype(np.int64), counts, bits, header.lossy, pages=header.pages,
        inverted=header.samples.white_is_zero,
    )  # fmt: skip


def _inverts(palette: tuple[tuple[int, int], ...]) -> bool:
    """Whether higher indices are darker greys."""
    greys = [colour & 255 for _, colour in palette if colour == (colour & 255) * 0x010101]
    return len(greys) == len(palette) and (greys != sorted(greys) or palette == ((0, 0xFFFFFF),))


def _survey_alpha(path: Path, raw: Raw, alpha: np.ndarray) -> MaskStats:
    colours = colours_of(raw)
    values, counts = _count(colours)
    visible = np.unique(colours[alpha > 127])[:MAX_COLOURS]
    hw = (alpha.shape[0], alpha.shape[1])
    return MaskStats(
        path, hw, "alpha", values.astype(np.int64), counts, 8, raw.header.lossy,
        opaque=int((alpha > 127).sum()), visible=tuple(int(v) for v in visible), pages=raw.header.pages,
    )  # fmt: skip


def _survey_float(path: Path, grey: np.ndarray, bits: int, pages: int) -> MaskStats:
    if not np.isfinite(grey).all():
        raise DataError(f"{path}: masks must have finite values, but it has NaN or infinity; save 0 and 1 instead")
    if grey.min() < 0:
        raise DataError(f"{path}: masks must have values of 0 and above, but it has {grey.min():g}; save ids from 0")
    rounded = grey if (grey == np.round(grey)).all() else np.round(grey.astype(np.float64) * 255) / 255
    values, counts = _count(rounded.astype(np.float64))
    return MaskStats(path, (grey.shape[0], grey.shape[1]), "float", values, counts, bits, False, pages=pages)
