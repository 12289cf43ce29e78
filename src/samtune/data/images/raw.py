"""A decoded image file: its samples as stored, and the properties that the file declares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Samples:
    """The storage of the samples of a file.

    Attributes:
        bits: bits per sample in the file, such as 1, 8, 12 or 16.
        kind: "u" unsigned, "i" signed, "f" floating point (numpy's letters).
        top: the highest possible value of unsigned samples, displayed white (black where `white_is_zero`).
        white_is_zero: whether 0 is displayed white and `top` black.
        nodata: the value that stands for a missing sample (GDAL's tag 42113), None without one.
    """

    bits: int = 8
    kind: str = "u"
    top: int = 255
    white_is_zero: bool = False
    nodata: float | None = None

    @property
    def has_bytes(self) -> bool:
        """Whether the samples are unsigned and of at most 8 bit, so that an image is not scaled by its own values."""
        return self.bits <= 8 and self.kind == "u"


@dataclass(frozen=True)
class Header:
    """The properties that an image file declares; known without decoding it.

    Attributes:
        hw: rows and columns after the EXIF rotation.
        orientation: EXIF orientation 1..8; 1 is upright.
        mode: "L" (grey), "LA", "RGB", "RGBA", "P" (palette indices), "CMYK" (decoded to RGB), or "bands" (two or more
            channels without declared colours), "bandsA" (likewise, with alpha last).
        channels: samples per pixel in the file.
        pages: number of pages (frames), counted up to 1,000, in GIF and WebP up to 2; only the first is used.
        lossy: whether the format changes pixel values (JPEG, lossy WebP, JPEG in TIFF).
        samples: depth and range of the samples.
        notes: further changes that reading the file makes, as clauses; see `reading.count_notes`.
    """

    hw: tuple[int, int]
    orientation: int
    mode: str
    channels: int
    pages: int
    lossy: bool
    samples: Samples = Samples()
    notes: tuple[str, ...] = ()

    @property
    def has_alpha(self) -> bool:
        """Whether the last channel is opacity."""
        return self.mode.endswith("A")


@dataclass(frozen=True)
class Raw:
    """The first page of a file, decoded.

    Attributes:
        pixels: (H, W) or (H, W, C) samples as stored, upright (EXIF applied), in the file's own integer or float type;
            uint8 for fewer than 8 bit. Channels are in the order of `Header.mode`; palette files hold indices.
        palette: uint8 (N, 3) RGB of each index, None without a palette.
        header: the properties that the file declares.
    """

    pixels: np.ndarray
    palette: np.ndarray | None
    header: Header


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Return pixels (H, W) or (H, W, C) rotated and mirrored to display upright, by their EXIF orientation 1..8."""
    turns: dict[int, Any] = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: np.rot90(a, 2),
        4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
        8: lambda a: np.rot90(a, 1),
    }
    turned: np.ndarray = np.ascontiguousarray(turns[orientation](pixels))
    return turned


def as_displayed(pixels: np.ndarray, samples: Samples) -> np.ndarray:
    """Return stored samples of at most 8 bit as a viewer displays them: uint8, 0 black and 255 white."""
    if samples.top != 255:
        pixels = np.rint(pixels * np.float32(255 / samples.top)).astype(np.uint8)
    return 255 - pixels if samples.white_is_zero else pixels
