"""The pixel values of background and classes, with which predictions are written like the training masks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from samtune.data.masks.channels import unpack
from samtune.data.options import DataOptions

if TYPE_CHECKING:
    from samtune.data.masks.encoding import MaskEncoding

MAX_VALUE = 2**32 - 1
"""Largest value that can be written, as 32-bit TIFF."""

MAX_PNG_VALUE = 65535
"""Largest value that can be written as PNG."""


@dataclass(frozen=True)
class MaskValues:
    """One value for the background and one for each class.

    Attributes:
        values: K + 1 different values, the background's first: 0xRRGGBB for colours, else 0..2**32 - 1.
        colours: whether masks are RGB.
    """

    values: tuple[int, ...]
    colours: bool = False

    @staticmethod
    def default(num_classes: int) -> MaskValues:
        """Return 0 and 255 for one class, else 0..K."""
        return MaskValues((0, 255) if num_classes == 1 else tuple(range(num_classes + 1)))

    @staticmethod
    def of(encoding: MaskEncoding) -> MaskValues:
        """Return the values with which masks are written like those that an encoding reads.

        If several values mean one class, the highest is used. Masks of objects, floats, transparency and blurred
        masks become 0 and 255; masks read by a threshold become 0 and a value above it.
        """
        if encoding.kind == "threshold":
            limit = encoding.threshold or 0
            return MaskValues((0, next((top for top in (255, MAX_PNG_VALUE) if top > limit), limit + 1)))
        num = encoding.num_classes
        by_label = {label: value for value, label in sorted(encoding.table)}
        if encoding.reads in ("unit", "alpha") or set(range(1, num + 1)) - set(by_label):
            return MaskValues.default(num)
        classes = [by_label[label] for label in range(1, num + 1)]
        backgrounds = [value for value, label in encoding.table if label == 0 and value >= 0]
        labels = dict(encoding.table)
        if labels.get(0, 0) == 0:
            backgrounds = backgrounds or [0]
        colours = encoding.reads == "colour"
        unused = next(value for value in range(len(labels) + 1) if value not in labels)
        # Every colour map has black as background, so a colour that the map names for it is the higher one.
        background = (max if colours else min)(backgrounds, default=unused)
        values = (background, *classes)
        if min(values) < 0 or max(values) > MAX_VALUE:
            return MaskValues.default(num)
        return MaskValues(values, colours)

    @property
    def suffix(self) -> str:
        """File suffix: ".png", or ".tif" for values of more than 16 bits."""
        return ".tif" if not self.colours and max(self.values) > MAX_PNG_VALUE else ".png"

    def apply(self, labels: np.ndarray) -> np.ndarray:
        """Return the pixels of a mask file for a label map.

        Args:
            labels: uint8 (H, W), 0..K, without `IGNORE`.

        Returns:
            uint8, uint16 or uint32 (H, W), the smallest type that holds all values; for colours uint8 (H, W, 3) RGB.
        """
        if self.colours:
            table = np.array([unpack(value) for value in self.values], np.uint8)
        else:
            table = np.array(self.values, np.min_scalar_type(max(self.values)))
        painted: np.ndarray = table[labels]
        return painted

    def options(self, class_names: tuple[str, ...]) -> DataOptions:
        """Return the options with which masks of these values are read as these classes."""
        background = (self.values[0],) if self.values[0] else None
        if len(class_names) == 1 and (self.colours or not background):
            return DataOptions(class_names=class_names)
        if not self.colours:
            return DataOptions(class_names=class_names, ids=self.values[1:], background=background)
        names = ("background", *class_names)
        colours = {name: unpack(value) for name, value in zip(names, self.values, strict=True)}
        return DataOptions(class_names=class_names, colours=colours)

    def by_name(self, class_names: tuple[str, ...]) -> dict[str, int | tuple[int, int, int]]:
        """Return the value, or the (red, green, blue), of the background and of each class."""
        values = [unpack(value) for value in self.values] if self.colours else self.values
        return dict(zip(("background", *class_names), values, strict=True))
