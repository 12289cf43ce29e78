"""Which values of masks are noise: blur, JPEG and interpolation leave values that no one has drawn.

Such values differ from drawn ones in how they lie. Measured on drawn areas that were saved as JPEG of qualities 10 to
100, resized by every filter or blurred: of their pixels under 0.1 survive an erosion (drawn areas: over 0.5), and over
0.9 have lower and higher values nearby. A thin class that was drawn does not survive an erosion either, but its pixels
have the same neighbours on both sides, and equal ones along the line.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from samtune.data.masks.levels import Levels

MAX_CORE = 0.1
"""Share of pixels that survive an erosion, above which values are no noise."""

MIN_BETWEEN = 0.8
"""Share of the pixels of all values half-way between two levels that have lower and higher values nearby."""

MIN_SCATTERED = 0.5
"""Share of the pixels of all values near a level that lie so, or have at most one equal neighbour."""

MIN_BETWEEN_ALONE = 0.9
"""The same for a single value, to call it a border of others."""

MIN_BETWEEN_SCATTERED = 0.3
"""Of values that JPEG has scattered, at least this share of the pixels lies between lower and higher values."""

MIN_LONELY = 0.6
"""Ids of which this share of the pixels has at most one equal neighbour are points, or noise."""

MAX_FOREGROUND = 0.9
"""Noise between ids makes up at most this share of the foreground; where no id covers an area there are none."""

SOLID = 0.35
"""A value of which this share survives an erosion is drawn."""

NEAR = 0.125
"""Values within this share of the top are near the background or near the top."""

MIN_TOP_FOR_NEAR = 64
"""Below it a step is too large a share of the top for "near"."""

MAX_OVERSHOOT = 1.5
"""Interpolation may go beyond the top by this factor."""

MIN_TOP = 4
"""Below it a value between 0 and the top is as well a class: 0 background, 1 border, 2 object."""

MAX_MIDDLE_SHARE = 0.1
"""Pixels half-way may be this share of all, or as many as are near the top; more is no blurred binary mask."""

MAX_MIDDLE_TIMES = 4
"""Where the top is the usual one (255, 65535), pixels half-way may be so many times those near it: thin objects."""

MAX_OVERSHOOT_SHARE = 0.06
"""Values that JPEG has left above the ids make up at most this share of the foreground."""

MIN_INSIDE = 0.6
"""Of such values, at least this share of the pixels lies on the next lower id, as overshoot along its edge does."""

MANY = 16
"""With so many values half-way, the outer ends of a wide blur may be bands that survive an erosion."""


@dataclass(frozen=True)
class TwoLevels:
    """Two drawn levels, 0 and `top`, with noise between them.

    Attributes:
        top: the value of the object.
        extras: the other values.
        clear: whether so few pixels lie half-way that the threshold decides little.
        single: whether one value alone lies half-way, which may be a border that was drawn.
    """

    top: int
    extras: tuple[int, ...]
    clear: bool
    single: bool

    @property
    def threshold(self) -> int:
        """Half of the top: values above are the object, and so is a value exactly half-way."""
        return (self.top - 1) // 2


def find_two_levels(levels: Levels, full: int) -> TwoLevels | None:
    """Return the two levels of blurred, resized or JPEG-compressed binary masks; None where the values are drawn.

    Args:
        levels: of all masks, the ignore label left out.
        full: the largest value of the files' type (255, 65535): tops just below it stand for it.
    """
    values, counts = levels.values, levels.counts
    if len(values) < 3 or values[-1] < MIN_TOP or 0 not in values:
        return None
    top = _top(levels, full)
    extra = (values != 0) & (values != top)
    if not extra.any() or values[-1] > MAX_OVERSHOOT * top or values[0] < (1 - MAX_OVERSHOOT) * top:
        return None
    near_zero, near_top = _near(values, top)
    middle = extra & ~near_zero & ~near_top
    near = extra & (near_zero | near_top)
    if not (values[extra] > top / 2).any() or _is_drawn(levels, middle, near):
        return None
    num_middle, num_top = int(counts[middle].sum()), int(counts[near_top].sum())
    # A top that is not the usual one may be the peak of a blurred object rather than the value of its area.
    is_area = levels.spread.core[values == top].sum() >= SOLID * counts[values == top].sum()
    most = max(MAX_MIDDLE_SHARE * counts.sum(), num_top * (MAX_MIDDLE_TIMES if top == full else 1))
    clear = num_middle <= most and (top == full or is_area)
    single = int(middle.sum()) == 1 and not near.any()
    return TwoLevels(top, tuple(int(v) for v in values[extra]), bool(clear), single)


def _top(levels: Levels, full: int) -> int:
    """The value of the object: of which most pixels survive an erosion, of thin objects the most frequent bright."""
    values, counts = levels.values, levels.counts
    core = np.where((values > 0) & (levels.spread.core > MAX_CORE * counts), levels.spread.core, 0)
    bright = np.where(values > values[-1] / 2, counts, 0)
    top = int(values[np.argmax(core if core.any() else bright)])
    reached = top if core.any() else int(values[-1])
    return full if (1 - NEAR / 2) * full <= reached <= full else top


def _near(values: np.ndarray, top: int) -> tuple[np.ndarray, np.ndarray]:
    """Which values are near 0 and near the top."""
    reach = NEAR * top if top >= MIN_TOP_FOR_NEAR else 0
    return values <= reach, values >= top - reach


def _is_drawn(levels: Levels, middle: np.ndarray, near: np.ndarray) -> bool:
    """Whether a value half-way between the levels, or near one, lies as only drawn ones do."""
    counts, spread = levels.counts, levels.spread
    scattered = np.maximum(spread.between, spread.lonely)
    if spread.core[middle | near].sum() > MAX_CORE * counts[middle | near].sum():
        return True
    # Noise near the levels makes it likely that points half-way, too, are noise rather than drawn.
    half_way = scattered if near.any() else spread.between
    if half_way[middle].sum() < MIN_BETWEEN * counts[middle].sum():
        return True
    if scattered[near].sum() < MIN_SCATTERED * counts[near].sum():
        return True
    # One drawn thin class among many values of noise does not show in their sums.
    frequent = counts >= np.maximum(8, 0.02 * counts[middle | near].sum())
    line, area = scattered < MIN_SCATTERED * counts, spread.core > MAX_CORE / 2 * counts
    if (middle & frequent & (line | area)).any():
        return True
    solid = near & frequent & (spread.core > SOLID * counts)
    return bool(solid.any()) and int(middle.sum()) < MANY


@dataclass(frozen=True)
class Borders:
    """Values among drawn ids that are no ids.

    Attributes:
        values: that occur only along borders of others, or scattered.
        certain: whether there are so many of them that they cannot all be classes.
    """

    values: tuple[int, ...]
    certain: bool


def find_borders(levels: Levels, *, only_between: bool = False) -> Borders | None:
    """Return the values that interpolation or JPEG have left between class ids; None where there are none.

    Args:
        levels: of all masks, background included, the ignore label left out.
        only_between: pass over scattered values, as where ids are objects, which may be as small as a pixel.
    """
    values, counts, spread = levels.values, levels.counts, levels.spread
    # No id lies between the lowest and the next value: interpolation leaves values inside the range of the ids.
    inner = (values > values[0]) & (values < values[-1])
    thin = inner & (spread.core <= MAX_CORE / 2 * counts)
    between = thin & (spread.between >= MIN_BETWEEN_ALONE * counts)
    scattered = thin & (np.maximum(spread.between, spread.lonely) >= MIN_SCATTERED * counts)
    scattered &= spread.between >= MIN_BETWEEN_SCATTERED * counts  # points that were drawn lie alone on one value
    num = int((values > values[0]).sum())
    if only_between:
        scattered &= False
    foreground = counts[values > values[0]].sum()
    for which, least, share in ((scattered, 2, 0.3), (between, 2, 0.2)):
        few = counts[which].sum() <= MAX_FOREGROUND * foreground
        if which.sum() >= max(least, share * num) and few:
            return Borders(tuple(int(v) for v in values[which]), certain=True)
    if not only_between and num <= 2 * MANY and (overshoot := _find_overshoot(levels)) is not None:
        return overshoot
    lonely = (values > values[0]) & (spread.core == 0) & (spread.lonely >= MIN_LONELY * counts)
    if lonely.sum() > 1 and not between.any() and num <= 2 * MANY:
        return Borders(tuple(int(v) for v in values[lonely]), certain=False)
    if between.any() and num <= MANY:
        # Where no id at all covers an area, as in thin objects resized, the others are no surer than these.
        areas = spread.core[values > values[0]].sum() > MAX_CORE * foreground
        mostly_thin = thin.sum() >= max(3, num / 2)
        if counts[between].sum() <= foreground / 2 or not areas:
            certain = num >= 3 and (not areas or bool(mostly_thin))
            return Borders(tuple(int(v) for v in values[between]), certain)
    return None


def _find_overshoot(levels: Levels) -> Borders | None:
    """Return the rare highest values that JPEG may have left beyond the highest id, such as 2 in masks of 0 and 1."""
    values, counts, spread = levels.values, levels.counts, levels.spread
    solid = np.flatnonzero(spread.core > SOLID * counts)
    if not len(solid) or values[solid[-1]] == values[0] or solid[-1] == len(values) - 1:
        return None
    above = np.arange(len(values)) > solid[-1]
    num, foreground = int(counts[above].sum()), int(counts[values > values[0]].sum())
    if num > MAX_OVERSHOOT_SHARE * foreground:
        return None
    alone = spread.lonely[above].sum() + spread.core[above].sum()
    if not alone and int(above.sum()) == 1:
        return None  # a line of one pixel
    certain = (spread.inside[above] + spread.core[above]).sum() >= MIN_INSIDE * num
    return Borders(tuple(int(v) for v in values[above]), bool(certain))
