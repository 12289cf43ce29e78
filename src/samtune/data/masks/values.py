"""The values that mask files have for background and classes, to write masks that read like those of training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from samtune.data.masks.statistics import unpack
from samtune.data.options import DataOptions

if TYPE_CHECKING:
    from samtune.data.masks.encodings import MaskEncoding

MAX_VALUE = 2**32 - 1
MAX_PNG_VALUE = 65535


@dataclass(frozen=True)
class MaskValues:
    """One value for the background and one for each class.

    Attributes:
        values: K + 1 different values, the background's first; 0xRRGGBB for colours, else 0..2^32 - 1.
        colours: whether masks are RGB.
    """

    values: tuple[int, ...]
    colours: bool = False

    @staticmethod
    def default(num_classes: int) -> MaskValues:
        """0 and 255 for one class, else 0..K."""
        return MaskValues((0, 255) if num_classes == 1 else tuple(range(num_classes + 1)))

    @staticmethod
    def of(encoding: MaskEncoding) -> MaskValues:
        """Return the values of mask files as they were read.

        Where several values mean a class, the highest is taken; masks of objects, float masks, transparency and
        blurred masks give 0 and 255, masks read by a threshold 0 and a value above it.
        """
        if encoding.kind == "threshold":
            limit = encoding.threshold or 0
            return MaskValues((0, next((top for top in (255, MAX_PNG_VALUE) if top > limit), limit + 1)))
        num = encoding.num_classes
        by_label = {label: value for value, label in sorted(encoding.table)}
        if encoding.reads in ("unit", "alpha") or set(range(1, num + 1)) - set(by_label):
            return MaskValues.default(num)
        classes = [by_label[label] for label in range(1, num + 1)]
        grounds = [value for value, label in encoding.table if label == 0 and value >= 0]
        meanings = {value: label for value, label in encoding.table}
        if meanings.get(0, 0) == 0:
            grounds = grounds or [0]
        colours = encoding.reads == "colour"  # black is background beside the one that the map names
        free = (value for value in range(len(meanings) + 1) if value not in meanings)
        values = ((max if colours else min)(grounds, default=next(free)), *classes)
        if min(values) < 0 or max(values) > MAX_VALUE:
            return MaskValues.default(num)
        return MaskValues(values, colours)

    @property
    def suffix(self) -> str:
        """Ending of the files: PNG, or TIFF for values beyond 16 bit."""
        return ".tif" if not self.colours and max(self.values) > MAX_PNG_VALUE else ".png"

    def apply(self, labels: np.ndarray) -> np.ndarray:
        """Turn a label map uint8 (H, W) without `IGNORE` into the pixels of a mask file.

        Returns:
            (H, W) uint8, uint16 or uint32, the smallest that holds all values; colours uint8 (H, W, 3) RGB.
        """
        if self.colours:
            table = np.array([unpack(value) for value in self.values], np.uint8)
        else:
            table = np.array(self.values, np.min_scalar_type(max(self.values)))
        painted: np.ndarray = table[labels]
        return painted

    def options(self, class_names: tuple[str, ...]) -> DataOptions:
        """Return options that read masks of these values as these classes."""
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
