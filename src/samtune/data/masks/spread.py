"""Where the pixels of each value of a mask lie: evidence of whether a value covers areas or only their edges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

SOLID_SHARE = 0.2
"""If at least this share of the pixels of every value survives an erosion, no value can be a rim of others."""


class Spread(NamedTuple):
    """Pixel counts for each value of a mask, int64, in the order of its sorted unique values.

    Attributes:
        core: pixels whose 3 x 3 neighbourhood has no other value (those that survive an erosion).
        between: pixels whose 5 x 5 neighbourhood has both a lower and a higher value, as along a blurred edge.
        isolated: pixels with at most one equal pixel among their eight neighbours, as in noise; pixels of a line one
            pixel wide have two.
        inside: pixels whose 3 x 3 neighbourhood has nothing below the next lower value, as for specks on an area.
    """

    core: np.ndarray
    between: np.ndarray
    isolated: np.ndarray
    inside: np.ndarray


@dataclass(frozen=True)
class Levels:
    """Values of one mask, or of several, with their total pixel counts and spread; parallel arrays.

    Attributes:
        values: sorted unique values, int64.
        counts: pixels of each value, int64.
        spread: where those pixels lie.
    """

    values: np.ndarray
    counts: np.ndarray
    spread: Spread

    def without(self, value: int) -> Levels:
        """Return the levels with one value removed."""
        rest = self.values != value
        return Levels(self.values[rest], self.counts[rest], Spread(*(each[rest] for each in self.spread)))


def measure_spread(plane: np.ndarray, values: np.ndarray, counts: np.ndarray) -> Spread:
    """Measure where the pixels of each value lie.

    Args:
        plane: numbers (H, W) without NaN.
        values: the sorted unique values of `plane`.
        counts: pixels of each value, int64.

    Returns:
        `between`, `isolated` and `inside` are all 0 if every value but 0 is solid (`SOLID_SHARE`).
    """
    plane = _as_opencv_type(plane)
    low, high = (method(plane, np.ones((3, 3), np.uint8)) for method in (cv2.erode, cv2.dilate))
    edge = low != high
    index = np.searchsorted(values, plane[edge])
    core = counts - np.bincount(index, minlength=len(values))
    nothing = np.zeros(len(values), np.int64)
    if (core >= SOLID_SHARE * counts)[values != 0].all():
        return Spread(core, nothing, nothing, nothing)
    inside = low[edge] >= values[np.maximum(index - 1, 0)]
    low, high = (method(plane, np.ones((5, 5), np.uint8)) for method in (cv2.erode, cv2.dilate))
    between = ((low < plane) & (plane < high))[edge]
    isolated = _equal_neighbours(plane, edge) <= 1
    return Spread(core, *(np.bincount(index[which], minlength=len(values)) for which in (between, isolated, inside)))


def _as_opencv_type(plane: np.ndarray) -> np.ndarray:
    """Return the plane in a type that OpenCV's morphology accepts; exact for values below 2**53."""
    if plane.dtype in (np.uint8, np.uint16, np.int16, np.float32, np.float64):
        return np.ascontiguousarray(plane)
    return np.ascontiguousarray(plane, dtype=np.float64)


def _equal_neighbours(plane: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Count, for the pixels selected by `where`, the neighbours (of eight) with the pixel's own value."""
    height, width = plane.shape
    rows, columns = np.nonzero(where)
    centre = plane[rows, columns]
    equal = np.zeros(len(rows), np.int8)
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            r, c = rows + down, columns + right
            inside = (r >= 0) & (r < height) & (c >= 0) & (c < width)
            same = plane[np.clip(r, 0, height - 1), np.clip(c, 0, width - 1)] == centre
            equal += inside & same
    return equal - 1


def pool(masks: Iterable[tuple[np.ndarray, np.ndarray, Spread | None]]) -> Levels:
    """Sum values, counts and spreads over masks; all pixels of a mask without a spread count as `core`."""
    rows = [
        (values, counts, *(spread if spread is not None else (counts, *[0 * counts] * 3)))
        for values, counts, spread in masks
    ]
    values, index = np.unique(np.concatenate([row[0] for row in rows]), return_inverse=True)
    sums = []
    for column in (1, 2, 3, 4, 5):
        summed = np.zeros(len(values), np.int64)
        np.add.at(summed, index.reshape(-1), np.concatenate([row[column] for row in rows]))
        sums.append(summed)
    return Levels(values, sums[0], Spread(*sums[1:]))
