"""Whether the ids of a folder of masks are objects (one id each) rather than classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from samtune.data.images.decoding import decode
from samtune.data.masks.statistics import grey_of
from samtune.data.options import MAX_CLASSES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from samtune.data.masks.statistics import MaskStats
    from samtune.data.options import DataOptions

MIN_OBJECTS = {8: 6, 16: 4}
"""The fullest mask must hold this many ids, by bits of the file, to be suspected of objects."""


MAX_NUMBERED = 65535
"""Classes are numbered below; larger ids that occur in one mask each are names of objects."""

MANY_OBJECTS = 30
"""From so many ids on, any difference between the numbers of ids in two masks speaks for objects."""

MAX_GAPS = 1.5
"""Objects of a mask are numbered up to at most so many times their number, where some were removed or are hidden."""

MOST_IDS = 60
"""So many ids of a mask are looked at for whether they are in one piece."""

MIN_CORE = 0.1
"""Share of the pixels of ids that survive an erosion, above which ids are areas."""


def are_instances(stats: Sequence[MaskStats], sets: Sequence[set[int]], found: set[int], options: DataOptions) -> bool:
    """Whether each id is one object.

    So it is where the user says so, where there are too many for classes, and where the ids differ from image to
    image and each is one connected object.

    Args:
        stats: the statistics of all masks.
        sets: the values in each mask.
        found: all ids of the folder, background and ignore label left out.
        options: `instances` decides where it is given; more than one class meant means classes.
    """
    if options.instances is not None:
        return options.instances
    if options.num_classes_meant not in (None, 1) or len(found) < 2:
        return False
    wide = max(s.bits for s in stats) > 8
    if wide and len(found) > MAX_CLASSES:
        return _have_areas(stats, sets, found) or _are_connected(stats, sets, found)
    ids = [values & found for values in sets if values & found]
    if min(found) > MAX_NUMBERED and len(ids) > 1 and sum(map(len, ids)) == len(found):
        return _are_connected(stats, sets, found)
    nums = [len(each) for each in ids]
    if max(nums) < MIN_OBJECTS[16 if wide else 8]:
        return False
    occurrences = [sum(value in each for each in ids) / len(ids) for value in found]
    if len(ids) > 2 and len(found) >= 20 and float(np.median(occurrences)) <= 0.34:
        return _have_areas(stats, sets, found) or _are_connected(stats, sets, found)
    # Far more ids than most sets have classes, numbered anew in each image: an atlas has the same ids in every image.
    many = len(found) >= MANY_OBJECTS and max(nums) != min(nums)
    consecutive = sum(each == set(range(1, len(each) + 1)) for each in ids) / len(ids)
    varies = max(nums) > 1.25 * min(nums) or many or (len(ids) == 1 and wide and nums[0] >= 20)
    return consecutive >= 0.8 and varies and _are_connected(stats, sets, found)


def may_be_instances(stats: Sequence[MaskStats], sets: Sequence[set[int]], found: set[int]) -> bool:
    """Whether ids that are read as classes may be objects: numbered in each mask, or large, each in one piece.

    Args:
        stats: the statistics of all masks.
        sets: the values in each mask.
        found: all ids of the folder, background and ignore label left out.
    """
    ids = [values & found for values in sets if values & found]
    numbered = all(max(each) <= MAX_GAPS * len(each) for each in ids)
    if max(map(len, ids), default=0) < 2 or not (numbered or max(found) > MAX_NUMBERED):
        return False
    return _are_connected(stats, sets, found)


def _have_areas(stats: Sequence[MaskStats], sets: Sequence[set[int]], found: set[int]) -> bool:
    """Whether the ids cover areas rather than single pixels, as the grey levels of a blurred mask do."""
    core = pixels = 0
    for s, values in zip(stats, sets, strict=True):
        if s.spread is None or not values & found:
            continue
        ids = np.isin(s.values, list(found))
        core += int(s.spread.core[ids].sum())
        pixels += int(s.counts[ids].sum())
    return core > MIN_CORE * pixels


def _are_connected(stats: Sequence[MaskStats], sets: Sequence[set[int]], found: set[int]) -> bool:
    """Whether nearly every id is one connected object in the five masks that hold most ids."""
    fullest = sorted(range(len(stats)), key=lambda i: -len(sets[i] & found))[:5]
    total = sum(min(len(sets[i] & found), MOST_IDS) for i in fullest)
    apart = 0
    for i in fullest:
        values = grey_of(decode(stats[i].path))
        if values is None:
            return False
        for value in sorted(sets[i] & found)[:MOST_IDS]:
            num, _ = cv2.connectedComponents((values == value).astype(np.uint8), connectivity=8)
            apart += num != 2
            if apart > 0.1 * total:
                return False
    return True
