"""Distinction between ids of objects and ids of classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from samtune.data.images.decoding import decode
from samtune.data.masks.channels import grey_channel
from samtune.data.options import MAX_CLASSES

if TYPE_CHECKING:
    from samtune.data.masks.inference.channel import Channel

MIN_OBJECTS = {8: 6, 16: 4}
"""Ids are objects only if some mask has at least this many, by the bits of the files (16: more than 8)."""

MAX_NUMBERED = 65535
"""Largest id of a class; larger ids that occur in one mask each identify objects."""

MANY_OBJECTS = 30
"""From this many ids on, any difference between the numbers of ids in two masks suggests objects."""

MAX_GAPS = 1.5
"""Largest ratio of the highest id of a mask to its number of ids: some objects may have been removed or be hidden."""

MAX_TESTED_IDS = 60
"""Number of ids per mask that are tested for being one connected piece."""

MIN_CORE = 0.1
"""Ids are areas if more than this share of their pixels survives an erosion."""


def are_instances(channel: Channel, ids: set[int]) -> bool:
    """Return whether each id is one object.

    `options.instances` decides if given. Otherwise ids are objects if there are too many of them for classes, or if
    they differ from image to image, provided that they cover areas or are one connected piece each.

    Args:
        channel: the values of all masks.
        ids: all ids of the folder, without background and ignore label.
    """
    options = channel.options
    if options.instances is not None:
        return options.instances
    if options.num_classes_meant not in (None, 1) or len(ids) < 2:
        return False
    wide = max(s.bits for s in channel.stats) > 8
    if wide and len(ids) > MAX_CLASSES:
        return _have_areas(channel, ids) or _are_connected(channel, ids)
    per_mask = [values & ids for values in channel.value_sets if values & ids]
    if min(ids) > MAX_NUMBERED and len(per_mask) > 1 and sum(map(len, per_mask)) == len(ids):
        return _are_connected(channel, ids)
    nums = [len(each) for each in per_mask]
    if max(nums) < MIN_OBJECTS[16 if wide else 8]:
        return False
    occurrences = [sum(value in each for each in per_mask) / len(per_mask) for value in ids]
    if len(per_mask) > 2 and len(ids) >= 20 and float(np.median(occurrences)) <= 0.34:
        return _have_areas(channel, ids) or _are_connected(channel, ids)
    # Far more ids than most sets have classes, numbered anew in each image: an atlas has the same ids in every image.
    many = len(ids) >= MANY_OBJECTS and max(nums) != min(nums)
    consecutive = sum(each == set(range(1, len(each) + 1)) for each in per_mask) / len(per_mask)
    varies = max(nums) > 1.25 * min(nums) or many or (len(per_mask) == 1 and wide and nums[0] >= 20)
    return consecutive >= 0.8 and varies and _are_connected(channel, ids)


def may_be_instances(channel: Channel, ids: set[int]) -> bool:
    """Return whether ids that are read as classes could be objects.

    True if they are numbered anew in each mask, or are large numbers, and each is one connected piece.

    Args:
        channel: the values of all masks.
        ids: all ids of the folder, without background and ignore label.
    """
    per_mask = [values & ids for values in channel.value_sets if values & ids]
    numbered = all(max(each) <= MAX_GAPS * len(each) for each in per_mask)
    if max(map(len, per_mask), default=0) < 2 or not (numbered or max(ids) > MAX_NUMBERED):
        return False
    return _are_connected(channel, ids)


def _have_areas(channel: Channel, ids: set[int]) -> bool:
    """Return whether the ids cover areas rather than single pixels, as the grey levels of a blurred mask do."""
    core = pixels = 0
    for s, values in zip(channel.stats, channel.value_sets, strict=True):
        if s.spread is None or not values & ids:
            continue
        selected = np.isin(s.values, list(ids))
        core += int(s.spread.core[selected].sum())
        pixels += int(s.counts[selected].sum())
    return core > MIN_CORE * pixels


def _are_connected(channel: Channel, ids: set[int]) -> bool:
    """Return whether nearly every id is one connected piece in the five masks with the most ids."""
    stats, value_sets = channel.stats, channel.value_sets
    fullest = sorted(range(len(stats)), key=lambda i: -len(value_sets[i] & ids))[:5]
    total = sum(min(len(value_sets[i] & ids), MAX_TESTED_IDS) for i in fullest)
    in_pieces = 0
    for i in fullest:
        plane = grey_channel(decode(stats[i].path))
        if plane is None:
            return False
        for value in sorted(value_sets[i] & ids)[:MAX_TESTED_IDS]:
            num, _ = cv2.connectedComponents((plane == value).astype(np.uint8), connectivity=8)
            in_pieces += num != 2  # the background is counted as one component
            if in_pieces > 0.1 * total:
                return False
    return True
