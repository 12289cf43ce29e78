"""From mask files to label maps: the encoding that a whole folder shares, and how one file is read by it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from samtune.data.images.decoding import decode
from samtune.data.masks.statistics import NAN, alpha_of, colours_of, grey_of, pack, round_floats, unpack
from samtune.errors import DataError
from samtune.types import IGNORE

if TYPE_CHECKING:
    from pathlib import Path

    from samtune.data.images.raw import Raw
    from samtune.data.masks.statistics import MaskStats

UNKNOWN = -1
"""The label of a value that an encoding does not know."""


@dataclass(frozen=True)
class MaskEncoding:
    """How the values in the mask files of one folder become labels.

    Attributes:
        kind: "binary", "ids", "instances" (many objects, one class), "soft" (thresholded half-way), "threshold"
            (thresholded as the user says) or "colours".
        reads: what of a file is read: "value" (the single channel; palette indices), "grey" (the same, but
            palettes by their grey), "unit" (float 0..1 times 255), "alpha", or "colour" (0xRRGGBB).
        table: ((value in the file, label), ...), NaN as `maskstats.NAN`; for "instances" every other value
            but 0 is label 1.
        threshold: values above it are label 1, for "soft" and "threshold" only.
        num_classes: K.
        sentence: the encoding in words, as the user reads it.
        tolerance: for "colours": another colour becomes the nearest one of the table if no channel differs by
            more than this many steps of 0..255.
    """

    kind: str
    reads: str
    table: tuple[tuple[int, int], ...]
    threshold: int | None
    num_classes: int
    sentence: str
    tolerance: int = 0

    @property
    def threshold_said(self) -> float | None:
        """The threshold of the user, on the scale of the mask files; None where it was inferred or there is none."""
        if self.kind != "threshold" or self.threshold is None:
            return None
        # Half a step above the integer, so that rounding does not bring it below.
        return (self.threshold + 0.5) / 255 if self.reads == "unit" else self.threshold

    def read(self, path: Path) -> np.ndarray:
        """Return a mask file as a label map uint8 (H, W): 0, 1..K, types.IGNORE.

        Raises:
            DataError: the file is damaged or has values this encoding does not know.
        """
        return self.apply(decode(path), path)

    def apply(self, raw: Raw, path: Path) -> np.ndarray:
        """Return the label map of a decoded mask; see `read`."""
        values = self._values(raw, path)
        small = values.dtype in (np.uint8, np.uint16)
        found = np.flatnonzero(np.bincount(values.reshape(-1))) if small else np.unique(values)
        labels = self.labels_of(found.astype(np.int64))
        if (labels == UNKNOWN).any():
            known = sorted({value for value, _ in self.table} | {0})
            shown = [self._shown(value) for value in known[:20]] + ["..."] * (len(known) > 20)
            unknown = [self._shown(int(value)) for value in found[labels == UNKNOWN][:10]]
            raise DataError(
                f"{path}: expected the values {', '.join(shown)} of its folder ({self.sentence}), got "
                f"{', '.join(unknown)}; was it changed, or is it from another data set?"
            )
        if small:
            table = np.zeros(int(found[-1]) + 1, np.uint8)
            table[found] = labels
            mapped: np.ndarray = table[values]
            return mapped
        wide: np.ndarray = labels.astype(np.uint8)[np.searchsorted(found, values)]
        return wide

    def labels_of(self, values: np.ndarray) -> np.ndarray:
        """The label of each of some values (int64, any shape), int16; `UNKNOWN` where the encoding has none."""
        labels = np.full(values.shape, UNKNOWN, np.int16)
        if self.threshold is not None:
            labels = (values > self.threshold).astype(np.int16)
        elif self.kind == "instances":
            labels = (values != 0).astype(np.int16)
        else:
            labels[values == 0] = 0
        if self.tolerance:
            self._label_near(values, labels)
        for value, label in self.table:
            labels[values == value] = label
        return labels

    def _label_near(self, values: np.ndarray, labels: np.ndarray) -> None:
        """Label the colours within the tolerance of a colour of the table, in place."""
        known = np.array([unpack(value) for value, _ in self.table])
        channels = np.stack([(values >> shift) & 255 for shift in (16, 8, 0)], axis=-1)
        distance = np.full(values.shape, 256)
        for colour, (_, label) in zip(known, self.table, strict=True):
            apart = np.abs(channels - colour).max(axis=-1)
            nearer = (apart < distance) & (apart <= self.tolerance)
            labels[nearer] = label
            distance = np.minimum(distance, apart)

    def _shown(self, value: int) -> str:
        if self.reads == "colour":
            return str(unpack(value))
        return "NaN" if value == NAN else str(value)

    def objects(self, path: Path) -> np.ndarray:
        """Return the ids of the objects in a mask file as int64 (H, W): 0 for background and for ignored pixels.

        Only for the kind "instances".

        Raises:
            DataError: the file is damaged.
        """
        ids = self._values(decode(path), path).astype(np.int64)
        for value, label in self.table:
            if label in (0, IGNORE):
                ids[ids == value] = 0
        return ids

    def count(self, stats: MaskStats) -> np.ndarray:
        """int64 (K + 2,): pixels of background, of classes 1..K, ignored (last), from a mask's statistics."""
        sums = np.zeros(self.num_classes + 2, np.int64)
        values, counts = values_as(stats, self.reads), stats.counts
        if self.reads == "alpha" and stats.alpha is not None:
            values, counts = stats.alpha.values, stats.alpha.counts
        labels = self.labels_of(values)
        labels[labels == UNKNOWN] = 0
        labels[labels == IGNORE] = self.num_classes + 1
        np.add.at(sums, labels, counts)
        return sums

    def _values(self, raw: Raw, path: Path) -> np.ndarray:
        """Integers (H, W): the values of a decoded file as `reads` says."""
        if self.reads == "colour":
            return colours_of(raw)
        if self.reads == "alpha":
            alpha = alpha_of(raw)
            if alpha is not None:
                return alpha
            if raw.pixels.ndim == 3 and raw.header.has_alpha:
                opaque: np.ndarray = raw.pixels[..., -1]
                return opaque
        if raw.palette is not None:
            return pack(raw.palette)[raw.pixels] & 255 if self.reads == "grey" else raw.pixels
        grey = grey_of(raw)
        if grey is None:
            raise DataError(f"{path}: expected a single channel as in the rest of its folder, got colours")
        return _as_integers(round_floats(grey), self.reads) if grey.dtype.kind == "f" else grey


def values_as(stats: MaskStats, reads: str) -> np.ndarray:
    """int64: the unique values of a mask as `MaskEncoding.reads` says, in the order of `stats.counts`."""
    if stats.form == "palette" and reads in ("grey", "colour"):
        packed = np.array([colour for _, colour in stats.palette], np.int64)
        return packed if reads == "colour" else packed & 255
    if stats.form == "float":
        return _as_integers(stats.values, reads)
    if stats.form == "value" and reads == "colour":
        # Fewer than 8 bit are shown multiplied up: the 1 of a 1-bit file is white.
        return stats.values * (255 // (2**stats.bits - 1) if stats.bits < 8 else 1) * 0x010101
    return stats.values.astype(np.int64)


def _as_integers(values: np.ndarray, reads: str) -> np.ndarray:
    """Float values as int64, times 255 for "unit"; NaN as `maskstats.NAN`."""
    missing = np.isnan(values)
    integers = np.round(np.where(missing, 0, values) * (255 if reads == "unit" else 1)).astype(np.int64)
    integers[missing] = NAN
    return integers
