"""A decoded image file: its stored samples, and what the file says about them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Samples:
    """How the samples of a file are stored.

    Attributes:
        bits: bits per sample in the file: 1, 2, 4, 8, 12, 16, 32, ...
        kind: "u" unsigned, "i" signed, "f" floating point (numpy's letters).
        top: the highest value that unsigned samples can have, which is white (or black, see `white_is_zero`).
        white_is_zero: the file asks for 0 to be shown white and `top` black.
        nodata: the value that stands for a missing sample (GDAL's tag 42113), None without one.
    """

    bits: int = 8
    kind: str = "u"
    top: int = 255
    white_is_zero: bool = False
    nodata: float | None = None

    @property
    def has_bytes(self) -> bool:
        """Whether the samples are at most 8 bit and unsigned, so that an image needs no scaling by its values."""
        return self.bits <= 8 and self.kind == "u"


@dataclass(frozen=True)
class Header:
    """What a file says of itself without being decoded.

    Attributes:
        hw: rows and columns after the EXIF rotation.
        orientation: EXIF orientation 1..8; 1 is upright.
        mode: "L" (grey), "LA", "RGB", "RGBA", "P" (palette indices), "CMYK" (decoded to RGB), or "bands" (two or more
            that the file gives no colour), "bandsA" (the last of them alpha).
        channels: samples per pixel in the file.
        pages: how many pages (frames) the file has, counted up to 1,000, of a GIF or WebP up to 2; only the first is
            ever used.
        lossy: whether the format changes pixel values (JPEG, lossy WebP, JPEG in TIFF).
        samples: their depth and range.
        notes: what else is to be said of reading it, as clauses that finish "N images ...".
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
    """A decoded file.

    Attributes:
        pixels: (H, W) or (H, W, C), stored samples, channels in the order L / LA / RGB / RGBA / bands; palette indices
            for palette files; the file's own integer or float type, uint8 for fewer than 8 bit. Upright (EXIF
            applied).
        palette: uint8 (N, 3) RGB of each index, or None.
        header: what the file says of itself.
    """

    pixels: np.ndarray
    palette: np.ndarray | None
    header: Header


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """`pixels` (H, W) or (H, W, C) turned and mirrored as EXIF orientation 1..8 asks for display."""
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


def shown(pixels: np.ndarray, samples: Samples) -> np.ndarray:
    """Stored samples of at most 8 bit as they are displayed: uint8, 0 black and 255 white."""
    if samples.top != 255:
        pixels = np.rint(pixels * np.float32(255 / samples.top)).astype(np.uint8)
    return 255 - pixels if samples.white_is_zero else pixels
