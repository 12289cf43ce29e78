"""The nearest pixel of a mask, exactly, and the distance to it.

Two passes (Meijster et al. 2000; Felzenszwalb and Huttenlocher 2012): the nearest mask pixel within each column, then
for each row the lower envelope of one parabola per column. All rows are worked on at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from samtune.errors import ShapeError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def nearest(
    mask: NDArray[np.bool_], spacing_yx: tuple[float, float] = (1.0, 1.0)
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The nearest pixel of a mask for every pixel; among equally near ones the leftmost, then the topmost.

    Args:
        mask: bool (H, W), at least one pixel.
        spacing_yx: height and width of a pixel, any unit.

    Returns:
        Row and column of the nearest mask pixel, each int64 (H, W).

    Raises:
        ShapeError: the mask is empty.
    """
    if not mask.any():
        raise ShapeError("the nearest pixel of a mask needs a mask with at least one pixel, but it is empty.")
    high, wide = mask.shape
    own = np.arange(high)[:, None]
    near_row = _nearest_in_column(mask, own)
    columns = np.flatnonzero(mask.any(axis=0))
    down2, across2 = spacing_yx[0] ** 2, spacing_yx[1] ** 2
    fall = ((own - near_row)[:, columns].astype(np.float64) ** 2) * down2
    choice = _lower_envelope(fall, columns, across2, wide)
    near_col = columns[choice]
    return near_row[own, near_col], near_col


def distance_to(mask: NDArray[np.bool_], spacing_yx: tuple[float, float] = (1.0, 1.0)) -> NDArray[np.float64]:
    """Distance of every pixel's centre to that of the nearest mask pixel, float64 (H, W), in the unit of the spacing.

    Raises:
        ShapeError: the mask is empty.
    """
    if not mask.any():
        raise ShapeError("a distance to a mask needs a mask with at least one pixel, but it is empty.")
    if spacing_yx[0] == spacing_yx[1]:
        pixels = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        # Squares of whole distances are whole: this takes the float32 of OpenCV back to the exact value.
        exact: NDArray[np.float64] = np.sqrt(np.rint(pixels.astype(np.float64) ** 2)) * spacing_yx[0]
        return exact
    rows, cols = nearest(mask, spacing_yx)
    own_row, own_col = np.indices(mask.shape)
    apart: NDArray[np.float64] = np.hypot((rows - own_row) * spacing_yx[0], (cols - own_col) * spacing_yx[1])
    return apart


def _nearest_in_column(mask: NDArray[np.bool_], own: NDArray[np.int64]) -> NDArray[np.int64]:
    """Row of the nearest mask pixel within each column, the upper one of two; any row where a column has none."""
    high = len(own)
    above = np.maximum.accumulate(np.where(mask, own, -2 * high), axis=0)
    below = np.minimum.accumulate(np.where(mask, own, 3 * high)[::-1], axis=0)[::-1]
    near: NDArray[np.int64] = np.where(own - above <= below - own, above, below)
    return near


def _lower_envelope(
    fall: NDArray[np.float64], columns: NDArray[np.int64], across2: float, wide: int
) -> NDArray[np.int64]:
    """For each row and place x: which k minimises fall[row, k] + across2 (x - columns[k])^2, the first of equals.

    Args:
        fall: (H, M), the squared vertical distance in each of M columns.
        columns: (M,) rising.
        across2: squared width of a pixel.
        wide: W, how many places x.

    Returns:
        (H, W) of 0..M-1.
    """
    high, num = fall.shape
    rows = np.arange(high)
    stack = np.zeros((high, num), np.int64)  # who is lowest from `start` on, left to right
    start = np.zeros((high, num), np.int64)
    last = np.zeros(high, np.int64)
    for k in range(1, num):
        column = columns[k]
        while True:
            top, x = stack[rows, np.maximum(last, 0)], start[rows, np.maximum(last, 0)]
            then = fall[rows, top] + across2 * (x - columns[top]) ** 2
            beaten = (last >= 0) & (then > fall[:, k] + across2 * (x - column) ** 2)
            if not beaten.any():
                break
            last -= beaten
        none_left = last < 0
        left = columns[top]
        gap = np.where(none_left, 1, column - left)  # never 0: columns rise
        cut = (across2 * (column**2 - left**2) + fall[:, k] - fall[rows, top]) / (2 * across2 * gap)
        # The top is no higher at x, so the newcomer takes over later; a rounding error must not say otherwise.
        begin = np.where(none_left, 0, np.maximum(np.floor(cut).astype(np.int64), x) + 1)
        enters = begin < wide
        last += enters
        stack[rows[enters], last[enters]] = k
        start[rows[enters], last[enters]] = begin[enters]
    choice = np.empty((high, wide), np.int64)
    for place in range(wide - 1, -1, -1):
        choice[:, place] = stack[rows, last]
        last -= (start[rows, last] == place) & (last > 0)
    return choice
