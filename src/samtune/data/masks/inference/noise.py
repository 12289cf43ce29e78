"""Distinction between drawn values of masks and noise that blur, JPEG or interpolation left.

Noise is recognised by where it lies. Few of its pixels survive an erosion, and most have lower and higher values nearby
(see `Spread`). A thin class that was drawn does not survive an erosion either, but its pixels have the same
neighbours on both sides, and equal ones along the line.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from samtune.data.masks.spread import Levels

MAX_CORE = 0.1
"""Values of which more than this share of the pixels survives an erosion are not noise."""

MIN_BETWEEN = 0.8
"""Noise halfway between two levels: at least this share of its pixels has lower and higher values nearby."""

MIN_SCATTERED = 0.5
"""Noise near a level: at least this share of its pixels has lower and higher values nearby, or is isolated."""

MIN_BETWEEN_ALONE = 0.9
"""A single value is a border of others if at least this share of its pixels has lower and higher values nearby."""

MIN_BETWEEN_SCATTERED = 0.3
"""Values scattered by JPEG: at least this share of their pixels has lower and higher values nearby."""

MIN_ISOLATED = 0.6
"""Ids of which at least this share of the pixels is isolated are points, or noise."""

MAX_FOREGROUND = 0.9
"""Noise between ids is at most this share of the foreground; if it were more, no id would cover an area."""

SOLID = 0.35
"""A value of which more than this share survives an erosion was drawn."""

NEAR = 0.125
"""Values within this share of the object's value are near the background or near the object."""

MIN_TOP_FOR_NEAR = 64
"""Below this object's value, a single step is too large a share of it for `NEAR` to apply."""

MAX_OVERSHOOT_FACTOR = 1.5
"""Largest ratio of an overshoot of interpolation to the object's value; below 0 it reaches as far."""

MIN_TOP = 4
"""Below this object's value, a value between it and 0 is as likely a class: 0 background, 1 border, 2 object."""

MAX_HALFWAY_SHARE = 0.1
"""A blurred binary mask has at most this share of pixels halfway, or as many as near the object's value."""

MAX_HALFWAY_FACTOR = 4
"""If the object's value is the usual 255 or 65535, pixels halfway may outnumber those near it by this factor."""

MAX_OVERSHOOT_SHARE = 0.06
"""Values left by JPEG above the highest id are at most this share of the foreground."""

MIN_INSIDE = 0.6
"""Of such values, at least this share of the pixels lies on the next lower id, as overshoot along its edge does."""

MANY = 16
"""With at least this many values halfway, the outer ends of a wide blur may survive an erosion."""


@dataclass(frozen=True)
class TwoLevels:
    """Two drawn levels, 0 and `top`, with noise around them.

    Attributes:
        top: the value of the object.
        noise: the other values.
        clear: whether few pixels lie halfway, so that the threshold matters little.
        single: whether a single value lies halfway, which may be a border that was drawn.
    """

    top: int
    noise: tuple[int, ...]
    clear: bool
    single: bool

    @property
    def threshold(self) -> int:
        """Threshold at half of `top`: values above it are the object, and so is a value exactly halfway."""
        return (self.top - 1) // 2


def find_two_levels(levels: Levels, full: int) -> TwoLevels | None:
    """Return the two levels of blurred, resized or JPEG-compressed binary masks; None if the values were drawn.

    Args:
        levels: of all masks, without the ignore label.
        full: the largest value of the files' type (255 or 65535); an object's value slightly below it is taken for it.
    """
    values, counts = levels.values, levels.counts
    if len(values) < 3 or values[-1] < MIN_TOP or 0 not in values:
        return None
    top = _top(levels, full)
    rest = (values != 0) & (values != top)
    if not rest.any() or values[-1] > MAX_OVERSHOOT_FACTOR * top:
        return None
    if values[0] < (1 - MAX_OVERSHOOT_FACTOR) * top:
        return None
    near_zero, near_top = _near(values, top)
    middle = rest & ~near_zero & ~near_top
    near = rest & (near_zero | near_top)
    if not (values[rest] > top / 2).any() or _is_drawn(levels, middle, near):
        return None
    num_middle, num_top = int(counts[middle].sum()), int(counts[near_top].sum())
    # Unless it is the usual 255 or 65535, `top` may be the peak of a blurred object rather than the value of its area.
    is_area = levels.spread.core[values == top].sum() >= SOLID * counts[values == top].sum()
    most = max(MAX_HALFWAY_SHARE * counts.sum(), num_top * (MAX_HALFWAY_FACTOR if top == full else 1))
    clear = num_middle <= most and (top == full or is_area)
    single = int(middle.sum()) == 1 and not near.any()
    return TwoLevels(top, tuple(int(v) for v in values[rest]), bool(clear), single)


def _top(levels: Levels, full: int) -> int:
    """Return the value of the object: the one with the most pixels after an erosion.

    If no value survives an erosion, as with thin objects, it is the most frequent value of the upper half.
    """
    values, counts = levels.values, levels.counts
    core = np.where((values > 0) & (levels.spread.core > MAX_CORE * counts), levels.spread.core, 0)
    bright = np.where(values > values[-1] / 2, counts, 0)
    top = int(values[np.argmax(core if core.any() else bright)])
    reached = top if core.any() else int(values[-1])
    return full if (1 - NEAR / 2) * full <= reached <= full else top


def _near(values: np.ndarray, top: int) -> tuple[np.ndarray, np.ndarray]:
    """Return which values are near 0, and which are near `top`."""
    reach = NEAR * top if top >= MIN_TOP_FOR_NEAR else 0
    return values <= reach, values >= top - reach


def _is_drawn(levels: Levels, middle: np.ndarray, near: np.ndarray) -> bool:
    """Return whether any value halfway between the levels, or near one, is distributed as only drawn values are."""
    counts, spread = levels.counts, levels.spread
    scattered = np.maximum(spread.between, spread.isolated)
    if spread.core[middle | near].sum() > MAX_CORE * counts[middle | near].sum():
        return True
    # Noise near the levels makes it likely that isolated points halfway are noise too.
    halfway = scattered if near.any() else spread.between
    if halfway[middle].sum() < MIN_BETWEEN * counts[middle].sum():
        return True
    if scattered[near].sum() < MIN_SCATTERED * counts[near].sum():
        return True
    # The sums do not show one thin drawn class among many values of noise, so look at each frequent value.
    frequent = counts >= np.maximum(8, 0.02 * counts[middle | near].sum())
    line, area = scattered < MIN_SCATTERED * counts, spread.core > MAX_CORE / 2 * counts
    if (middle & frequent & (line | area)).any():
        return True
    solid = near & frequent & (spread.core > SOLID * counts)
    return bool(solid.any()) and int(middle.sum()) < MANY


@dataclass(frozen=True)
class Borders:
    """Values between or above drawn ids that may not be ids themselves.

    Attributes:
        values: the values that occur only along borders of others, or scattered.
        certain: whether they are too many to be classes.
    """

    values: tuple[int, ...]
    certain: bool


def find_borders(levels: Levels, *, only_between: bool = False) -> Borders | None:
    """Return the values that interpolation or JPEG left between class ids; None if there are none.

    Args:
        levels: of all masks, with background, without the ignore label.
        only_between: ignore scattered values, because objects may be as small as a pixel.
    """
    values, counts, spread = levels.values, levels.counts, levels.spread
    # Interpolation leaves values inside the range of the ids, so neither the lowest nor the highest is one.
    inner = (values > values[0]) & (values < values[-1])
    thin = inner & (spread.core <= MAX_CORE / 2 * counts)
    between = thin & (spread.between >= MIN_BETWEEN_ALONE * counts)
    scattered = thin & (np.maximum(spread.between, spread.isolated) >= MIN_SCATTERED * counts)
    scattered &= spread.between >= MIN_BETWEEN_SCATTERED * counts  # drawn points lie on a single value
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
    isolated = (values > values[0]) & (spread.core == 0) & (spread.isolated >= MIN_ISOLATED * counts)
    if isolated.sum() > 1 and not between.any() and num <= 2 * MANY:
        return Borders(tuple(int(v) for v in values[isolated]), certain=False)
    if between.any() and num <= MANY:
        # If no id covers an area, as in resized thin objects, the other values are no more certain than these.
        areas = spread.core[values > values[0]].sum() > MAX_CORE * foreground
        mostly_thin = thin.sum() >= max(3, num / 2)
        if counts[between].sum() <= foreground / 2 or not areas:
            certain = num >= 3 and (not areas or bool(mostly_thin))
            return Borders(tuple(int(v) for v in values[between]), certain)
    return None


def _find_overshoot(levels: Levels) -> Borders | None:
    """Return rare values that JPEG may have left above the highest id, such as 2 in masks of 0 and 1."""
    values, counts, spread = levels.values, levels.counts, levels.spread
    solid = np.flatnonzero(spread.core > SOLID * counts)
    if not len(solid) or values[solid[-1]] == values[0] or solid[-1] == len(values) - 1:
        return None
    above = np.arange(len(values)) > solid[-1]
    num, foreground = int(counts[above].sum()), int(counts[values > values[0]].sum())
    if num > MAX_OVERSHOOT_SHARE * foreground:
        return None
    is_line = not spread.isolated[above].any() and not spread.core[above].any()
    if is_line and int(above.sum()) == 1:
        return None
    certain = (spread.inside[above] + spread.core[above]).sum() >= MIN_INSIDE * num
    return Borders(tuple(int(v) for v in values[above]), bool(certain))
