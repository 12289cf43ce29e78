"""Images with and without objects in the parts of a split, for data sets that are partly or mostly empty.

A plain draw of 15 from 60 images of which 22 have objects may hold 2 of them or 9. Instead each part takes images with
objects and images without in turn, so that the number with objects is the part's share of them. The order within each
kind is that of the seeded permutation; where all images have objects, or none, it is the permutation itself.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING

import numpy as np

from samtune.text import count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from samtune.data.dataset import Dataset

MIN_DECIDING = 2
"""Smallest number of validation images with objects that can decide between steps, where others are empty."""


def has_objects(dataset: Dataset) -> np.ndarray:
    """Return whether each image has a pixel of any class, bool (N,)."""
    counts: np.ndarray = dataset.label_counts[:, 1:-1].max(axis=1)
    return counts > 0


class PresenceQueue:
    """Groups of images in the order of a draw, those with objects and those without apart.

    Args:
        dataset: gives the objects of each image.
        groups: in the order of the draw; a group has objects if one of its images has.
    """

    def __init__(self, dataset: Dataset, groups: Sequence[list[int]]) -> None:
        present = has_objects(dataset)
        self._waiting: dict[bool, deque[tuple[int, list[int]]]] = {True: deque(), False: deque()}
        for position, group in enumerate(groups):
            self._waiting[bool(present[group].any())].append((position, group))
        self._share = len(self._waiting[True]) / max(len(groups), 1)
        self._taken: Counter[tuple[str, bool]] = Counter()

    def __bool__(self) -> bool:
        """Return whether groups are left."""
        return any(self._waiting.values())

    def next_for(self, part: str) -> list[int]:
        """Return the next group for a part, and leave it in the queue.

        It is one with objects where the part has fewer of these than its share; one of the other kind where none is
        left.
        """
        return self._waiting[self._kind_for(part)][0][1]

    def take(self, part: str) -> list[int]:
        """Take the next group for a part out of the queue, and return it."""
        kind = self._kind_for(part)
        self._taken[part, kind] += 1
        return self._waiting[kind].popleft()[1]

    def rest(self) -> list[list[int]]:
        """Return the groups that are left, in the order of the draw."""
        return [group for _, group in sorted((*self._waiting[True], *self._waiting[False]))]

    def _kind_for(self, part: str) -> bool:
        """Return whether the part's next group has objects."""
        num_with = self._taken[part, True]
        kind = num_with < self._share * (num_with + self._taken[part, False] + 1)
        return kind if self._waiting[kind] else not kind


def presence_notes(dataset: Dataset, train: Sequence[int], val: Sequence[int], *, drawn: bool) -> list[str]:
    """Return sentences on images with and without objects in the parts; none where every image has objects.

    Args:
        dataset: the images of both parts.
        train: indices of the training images.
        val: indices of the validation images; may be empty.
        drawn: whether the validation images were drawn with the training images.
    """
    present = has_objects(dataset)
    notes = []
    if drawn and val and not present[[*train, *val]].all():
        notes.append(
            f"Stratified by whether images have objects: {present[list(train)].sum()} of {len(train)} training and "
            f"{present[list(val)].sum()} of {len(val)} validation images have any"
        )
    return notes + undecided_notes(dataset, val)


def undecided_notes(dataset: Dataset, val: Sequence[int]) -> list[str]:
    """Return a warning where validation images can hardly tell a good step from a bad one, else nothing.

    A validation part whose images all have objects is small at worst, and its size is in the notes of the split.
    """
    if not val:
        return []
    num_with = int(has_objects(dataset)[list(val)].sum())
    if num_with >= min(MIN_DECIDING, len(val)):
        return []
    which = "none of them has" if not num_with else "only 1 of them has"
    return [
        f"The {count(len(val), 'validation image')} can hardly decide which step to keep: {which} an object. Annotate "
        "more images with objects, or validate on images that have them (a larger `val`, more `shots`, or validation "
        "images of your own)"
    ]
