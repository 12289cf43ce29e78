"""Conversion of mask files to label maps by the encoding that all masks of a folder share."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from samtune.data.images.decoding import decode
from samtune.data.masks.channels import (
    NAN,
    alpha_channel,
    as_integers,
    grey_channel,
    pack,
    packed_colours,
    round_floats,
    unpack,
)
from samtune.data.options import DataOptions
from samtune.errors import DataError
from samtune.types import IGNORE

if TYPE_CHECKING:
    from pathlib import Path

    from samtune.data.images.raw import Raw
    from samtune.data.masks.statistics import MaskStats

UNKNOWN = -1
"""The label of a value that an encoding does not define."""


@dataclass(frozen=True)
class MaskEncoding:
    """How the values in the mask files of one folder become labels.

    Attributes:
        kind: "binary", "ids" (one value per class), "instances" (one value per object of a single class), "soft"
            (one class, above half of the object's value), "threshold" (one class, above the user's threshold) or
            "colours".
        reads: the samples of a file that hold the values: "value" (the single channel, or palette indices), "grey" (the
            same, but the grey of palette colours), "unit" (floats in 0..1 times 255), "alpha" or "colour" (0xRRGGBB).
        table: ((value, label), ...); `NAN` stands for NaN. For "instances", every other value but 0 has label 1.
        threshold: for "soft" and "threshold", values above it have label 1; else None.
        num_classes: K.
        sentence: the encoding in words, for the user.
        tolerance: for "colours", a colour that is not in the table has the label of the nearest one, if no channel
            differs by more than this, in steps of 0..255.
    """

    kind: str
    reads: str
    table: tuple[tuple[int, int], ...]
    threshold: int | None
    num_classes: int
    sentence: str
    tolerance: int = 0

    @property
    def user_threshold(self) -> float | None:
        """The user's threshold on the scale of the mask files; None if there is none or it was inferred."""
        if self.kind != "threshold" or self.threshold is None:
            return None
        # Half a step above the integer, so that rounding does not bring it below.
        return (self.threshold + 0.5) / 255 if self.reads == "unit" else self.threshold

    @property
    def ignore_label(self) -> int | float | None:
        """The value of ignored pixels in the mask files, NaN included; the lowest of several, None without one."""
        return next((_as_option(value) for value, label in self.table if label == IGNORE), None)

    def read(self, path: Path) -> np.ndarray:
        """Return a mask file as a label map, uint8 (H, W): 0, 1..K, types.IGNORE.

        Raises:
            DataError: the file is damaged, or holds values that this encoding does not define.
        """
        return self.apply(decode(path), path)

    def apply(self, raw: Raw, source: Path | str) -> np.ndarray:
        """Return a decoded mask file as a label map; see `read`."""
        return self.label_map(self._values(raw, source), source)

    def label_map(self, values: np.ndarray, source: Path | str) -> np.ndarray:
        """Return an array of values as a label map, uint8 (H, W): 0, 1..K, types.IGNORE.

        Args:
            values: integers (H, W) as `reads` defines: ids, grey or alpha values, or 0xRRGGBB.
            source: the file or record that they come from, for the error message.

        Raises:
            DataError: the array holds values that this encoding does not define.
        """
        small = values.dtype in (np.uint8, np.uint16)
        used = np.flatnonzero(np.bincount(values.reshape(-1))) if small else np.unique(values)
        labels = self.labels_of(used.astype(np.int64))
        if (labels == UNKNOWN).any():
            raise self._unknown_values(used[labels == UNKNOWN], source)
        if small:
            table = np.zeros(int(used[-1]) + 1, np.uint8)
            table[used] = labels
            mapped: np.ndarray = table[values]
            return mapped
        wide: np.ndarray = labels.astype(np.uint8)[np.searchsorted(used, values)]
        return wide

    def labels_of(self, values: np.ndarray) -> np.ndarray:
        """Return the label of each value, int16; `UNKNOWN` for values that the encoding does not define.

        Args:
            values: int64, any shape.
        """
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

    def objects(self, path: Path) -> np.ndarray:
        """Return the object ids in a mask file, int64 (H, W); 0 for background and ignored pixels.

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
        """Return the pixels of each label of a mask, int64 (K + 2,): background, classes 1..K, ignored.

        Values that the encoding does not define count as background.
        """
        sums = np.zeros(self.num_classes + 2, np.int64)
        values, counts = stats.values_as(self.reads), stats.counts
        if self.reads == "alpha" and stats.alpha is not None:
            values, counts = stats.alpha.values, stats.alpha.counts
        labels = self.labels_of(values)
        labels[labels == UNKNOWN] = 0
        labels[labels == IGNORE] = self.num_classes + 1
        np.add.at(sums, labels, counts)
        return sums

    def options(self, class_names: tuple[str, ...]) -> DataOptions:
        """Return the options with which masks of another folder are read by this encoding.

        Args:
            class_names: K names; label k is `class_names[k - 1]`.
        """
        if self.kind == "colours":
            return DataOptions(
                class_names=class_names, colours=self._colour_map(class_names), colour_tolerance=self.tolerance
            )
        values = {label: value for value, label in self.table}
        background = tuple(_as_option(value) for value, label in self.table if label == 0)
        if background and 0 not in dict(self.table):
            background = (0, *background)
        return DataOptions(
            class_names=class_names,
            ids=tuple(values[label] for label in range(1, self.num_classes + 1)) if self.kind == "ids" else None,
            ignore_label=self.ignore_label,
            instances=True if self.kind == "instances" else None,
            background=background or None,
            threshold=self.user_threshold,
        )

    def _colour_map(self, class_names: tuple[str, ...]) -> dict[str, tuple[int, int, int]]:
        """Return `DataOptions.colours`: class name, "background", "ignore" or "void" -> (red, green, blue)."""
        names = {label: name for label, name in enumerate(class_names, start=1)} | {IGNORE: "ignore"}
        colours = {names[label]: unpack(value) for value, label in self.table if label != 0}
        backgrounds = [unpack(value) for value, label in self.table if label == 0 and value != 0]
        ignored = [unpack(value) for value, label in self.table if label == IGNORE]
        colours |= dict(zip(("background",), backgrounds, strict=False))
        return colours | dict(zip(("ignore", "void"), ignored, strict=False))

    def _label_near(self, values: np.ndarray, labels: np.ndarray) -> None:
        """Give colours within the tolerance the label of the nearest colour of the table, in place."""
        colours = np.array([unpack(value) for value, _ in self.table])
        channels = np.stack([(values >> shift) & 255 for shift in (16, 8, 0)], axis=-1)
        distance = np.full(values.shape, 256)
        for colour, (_, label) in zip(colours, self.table, strict=True):
            difference = np.abs(channels - colour).max(axis=-1)
            nearer = (difference < distance) & (difference <= self.tolerance)
            labels[nearer] = label
            distance = np.minimum(distance, difference)

    def _unknown_values(self, unknown: np.ndarray, source: Path | str) -> DataError:
        defined = sorted({value for value, _ in self.table} | {0})
        expected = [self._format(value) for value in defined[:20]] + ["..."] * (len(defined) > 20)
        got = [self._format(int(value)) for value in unknown[:10]]
        return DataError(
            f"{source}: expected the values {', '.join(expected)} of its folder ({self.sentence}), got "
            f"{', '.join(got)}; check whether the file was changed or belongs to another data set"
        )

    def _format(self, value: int) -> str:
        if self.reads == "colour":
            return str(unpack(value))
        return "NaN" if value == NAN else str(value)

    def _values(self, raw: Raw, source: Path | str) -> np.ndarray:
        """Return the values of a decoded file, integers (H, W); see `reads`."""
        if self.reads == "colour":
            return packed_colours(raw)
        if self.reads == "alpha":
            alpha = alpha_channel(raw)
            if alpha is not None:
                return alpha
            if raw.pixels.ndim == 3 and raw.header.has_alpha:
                opaque: np.ndarray = raw.pixels[..., -1]
                return opaque
        if raw.palette is not None:
            return pack(raw.palette)[raw.pixels] & 255 if self.reads == "grey" else raw.pixels
        grey = grey_channel(raw)
        if grey is None:
            raise DataError(
                f"{source}: expected a single channel like the other masks of its folder, got colours; save one channel"
            )
        return as_integers(round_floats(grey), self.reads) if grey.dtype.kind == "f" else grey


def _as_option(value: int) -> int | float:
    """Return a value of `MaskEncoding.table` as `DataOptions` represents it."""
    return math.nan if value == NAN else value
