"""How the values of a mask lie in the plane: evidence on which of them are areas and which are only rims of others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

SOLID_SHARE = 0.2
"""Where this share of the pixels of every value survives an erosion, no value is suspected of being a rim."""


@dataclass(frozen=True)
class Spread:
    """Per value of a mask, in the order of its sorted unique values, int64 pixels.

    Attributes:
        core: whose 3 x 3 neighbourhood has no other value (what survives an erosion).
        between: whose 5 x 5 neighbourhood has both a lower and a higher value, as along the blurred edge of an area.
        lonely: with at most one equal pixel among the eight neighbours, as in noise; 1-pixel lines have two.
        inside: whose 3 x 3 neighbourhood has no value below the next lower one, as of specks on an area.
    """

    core: np.ndarray
    between: np.ndarray
    lonely: np.ndarray
    inside: np.ndarray


@dataclass(frozen=True)
class Levels:
    """Values with their pixels and their spread, of one mask or summed over masks; arrays in parallel.

    Attributes:
        values: sorted unique values, int64.
        counts: int64 pixels of each.
        spread: how they lie.
    """

    values: np.ndarray
    counts: np.ndarray
    spread: Spread

    def without(self, value: int) -> Levels:
        """The same without one value."""
        rest, spread = self.values != value, self.spread
        kept = Spread(spread.core[rest], spread.between[rest], spread.lonely[rest], spread.inside[rest])
        return Levels(self.values[rest], self.counts[rest], kept)


def measure_spread(plane: np.ndarray, values: np.ndarray, counts: np.ndarray) -> Spread:
    """Measure how the values of a mask lie.

    Args:
        plane: (H, W) numbers without NaN.
        values: the sorted unique values of `plane`.
        counts: int64 pixels of each.
    """
    plane = _for_opencv(plane)
    low, high = (method(plane, np.ones((3, 3), np.uint8)) for method in (cv2.erode, cv2.dilate))
    edge = low != high
    at = np.searchsorted(values, plane[edge])
    core = counts - np.bincount(at, minlength=len(values))
    nothing = np.zeros(len(values), np.int64)
    if (core >= SOLID_SHARE * counts)[values != 0].all():
        return Spread(core, nothing, nothing, nothing)
    inside = low[edge] >= values[np.maximum(at - 1, 0)]
    low, high = (method(plane, np.ones((5, 5), np.uint8)) for method in (cv2.erode, cv2.dilate))
    between = ((low < plane) & (plane < high))[edge]
    lonely = _equal_neighbours(plane, edge) <= 1
    return Spread(core, *(np.bincount(at[which], minlength=len(values)) for which in (between, lonely, inside)))


def _for_opencv(plane: np.ndarray) -> np.ndarray:
    """The plane in a type that OpenCV's morphology takes and that loses nothing (values below 2**53)."""
    if plane.dtype in (np.uint8, np.uint16, np.int16, np.float32, np.float64):
        return np.ascontiguousarray(plane)
    return np.ascontiguousarray(plane, dtype=np.float64)


def _equal_neighbours(plane: np.ndarray, where: np.ndarray) -> np.ndarray:
    """How many of the eight neighbours of the pixels `where` have the pixel's own value."""
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
    """Sum values, counts and spreads over masks; values of a mask without spread count as areas."""
    rows = [
        (
            values,
            counts,
            *((spread.core, spread.between, spread.lonely, spread.inside) if spread else (counts, *[0 * counts] * 3)),
        )
        for values, counts, spread in masks
    ]
    values, at = np.unique(np.concatenate([row[0] for row in rows]), return_inverse=True)
    sums = []
    for column in (1, 2, 3, 4, 5):
        summed = np.zeros(len(values), np.int64)
        np.add.at(summed, at.reshape(-1), np.concatenate([row[column] for row in rows]))
        sums.append(summed)
    return Levels(values, sums[0], Spread(*sums[1:]))
