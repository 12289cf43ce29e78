"""From mask files to label maps: the encoding that a whole folder shares, and how one file is read by it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from samtune.data.decoding import decode
from samtune.data.maskstats import alpha_of, colours_of, grey_of, pack
from samtune.errors import DataError
from samtune.types import IGNORE

if TYPE_CHECKING:
    from pathlib import Path

    from samtune.data.maskstats import MaskStats
    from samtune.data.raw import Raw

THRESHOLD = 127
"""Blurred masks, alpha channels and (after times 255) float masks: above it is foreground."""


@dataclass(frozen=True)
class MaskEncoding:
    """How the values in the mask files of one folder become labels.

    Attributes:
        kind: "binary", "ids", "instances" (many objects, one class), "soft" (thresholded) or "colours".
        reads: what of a file is read: "value" (the single channel; palette indices), "grey" (the same, but
            palettes by their grey), "unit" (float 0..1 times 255), "alpha", or "colour" (0xRRGGBB).
        table: ((value in the file, label), ...); for "instances" every other value above 0 is label 1.
        threshold: values above it are label 1, for "soft" only.
        num_classes: K.
        sentence: the encoding in words, as it is told to the user.
    """

    kind: str
    reads: str
    table: tuple[tuple[int, int], ...]
    threshold: int | None
    num_classes: int
    sentence: str

    def read(self, path: Path) -> np.ndarray:
        """A mask file as a label map uint8 (H, W): 0, 1..K, types.IGNORE.

        Raises:
            DataError: the file is damaged or has values this encoding does not know.
        """
        return self.apply(decode(path), path)

    def apply(self, raw: Raw, path: Path) -> np.ndarray:
        """The label map of a decoded mask; see `read`."""
        values = self._values(raw, path)
        labels = np.zeros(values.shape, np.uint8)
        if self.threshold is not None:
            labels[values > self.threshold] = 1
        known = {value for value, _ in self.table} | {0}
        found = _unique(values)
        unknown = [int(value) for value in found if int(value) not in known]
        if unknown and self.kind == "instances":
            labels[values > 0] = 1
        elif unknown and self.threshold is None:
            raise DataError(
                f"{path}: masks must have the values {sorted(known)} (of their folder: {self.sentence}), "
                f"but it has {unknown[:10]}; was it changed, or is it from another data set?"
            )
        present = set(found.tolist())
        for value, label in self.table:
            if value in present:
                labels[values == value] = label
        return labels

    def objects(self, path: Path) -> np.ndarray:
        """The ids of the objects in a mask file as int64 (H, W): 0 for background and for ignored pixels.

        Only for the kind "instances".

        Raises:
            DataError: the file is damaged.
        """
        ids = self._values(decode(path), path).astype(np.int64)
        for value, label in self.table:
            if label == IGNORE:
                ids[ids == value] = 0
        return ids

    def count(self, stats: MaskStats) -> np.ndarray:
        """int64 (K + 2,): pixels of background, of classes 1..K, ignored (last), from a mask's statistics."""
        sums = np.zeros(self.num_classes + 2, np.int64)
        if self.reads == "alpha" and stats.form == "alpha":
            sums[1] = stats.opaque
            sums[0] = stats.counts.sum() - stats.opaque
            return sums
        table = dict(self.table)
        for value, count in zip(values_as(stats, self.reads).tolist(), stats.counts.tolist(), strict=True):
            label = table.get(int(value), 0)
            if self.threshold is not None and int(value) not in table:
                label = int(value > self.threshold)
            elif self.kind == "instances" and int(value) not in table:
                label = int(value > 0)
            sums[-1 if label == IGNORE else label] += count
        return sums

    def _values(self, raw: Raw, path: Path) -> np.ndarray:
        """Integers (H, W): the values of a decoded file as `reads` says."""
        if self.reads == "colour":
            return colours_of(raw)
        if self.reads == "alpha":
            alpha = alpha_of(raw)
            if alpha is not None:
                return alpha
            if raw.pixels.ndim == 3 and raw.pixels.shape[2] in (2, 4):
                opaque: np.ndarray = raw.pixels[..., -1]
                return opaque
        if raw.palette is not None:
            return pack(raw.palette)[raw.pixels] & 255 if self.reads == "grey" else raw.pixels
        grey = grey_of(raw)
        if grey is None:
            raise DataError(f"{path}: masks must be single-channel as the rest of their folder, but it has colours")
        if grey.dtype.kind == "f":
            return np.round(grey.astype(np.float64) * (255 if self.reads == "unit" else 1)).astype(np.int64)
        return grey


def values_as(stats: MaskStats, reads: str) -> np.ndarray:
    """int64: the unique values of a mask as `MaskEncoding.reads` says, in the order of `stats.counts`."""
    if stats.form == "palette" and reads in ("grey", "colour"):
        packed = np.array([colour for _, colour in stats.palette], np.int64)
        return packed if reads == "colour" else packed & 255
    if stats.form == "float":
        return np.round(stats.values * (255 if reads == "unit" else 1)).astype(np.int64)
    if stats.form == "value" and reads == "colour":
        # Fewer than 8 bit are shown multiplied up: the 1 of a 1-bit file is white.
        return stats.values * (255 // (2**stats.bits - 1) if stats.bits < 8 else 1) * 0x010101
    return stats.values.astype(np.int64)


def _unique(values: np.ndarray) -> np.ndarray:
    """Sorted unique integers; by counting where they are small."""
    if values.dtype in (np.uint8, np.uint16):
        return np.flatnonzero(np.bincount(values.reshape(-1)))
    return np.unique(values)
