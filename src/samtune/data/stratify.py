"""Exchange of images between the parts of a split, so that training and validation have every class if possible.

A complete split stays as it was drawn. Whole groups are exchanged one for one, as few as possible: first for classes
without training images, then for classes without validation images, then for parts without an image that has no object.
The result is deterministic.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from samtune.data.dataset import Dataset

Group = list[int]

TRAIN, VAL, REST = 0, 1, 2

MAX_TRIED = 100
"""Largest number of groups with a missing class, and of groups to exchange for them, that are tried."""


@dataclass(frozen=True)
class Drawn:
    """Groups of images in the order in which they were drawn.

    Attributes:
        train: groups of the training part.
        val: groups of the validation part.
        rest: groups that are not used.
    """

    train: list[Group]
    val: list[Group]
    rest: list[Group]

    @property
    def num_images(self) -> int:
        """Images in all parts."""
        return sum(len(group) for part in (self.train, self.val, self.rest) for group in part)


Lack = tuple[int, int, int]
"""Numbers of classes without a training image, of classes without a validation image, and of parts without an image
that has no object; each counted only where the data could provide one. Lower tuples are better."""


def balance(dataset: Dataset, drawn: Drawn, max_images: int) -> tuple[Drawn, int]:
    """Exchange groups so that training and validation lack as few classes as possible.

    Args:
        dataset: gives the classes of each image.
        drawn: the parts as drawn; no group is moved to an empty part.
        max_images: largest number of images in training and validation together.

    Returns:
        The parts, and the number of exchanges; 0 if nothing was missing or no exchange helps.
    """
    classes = dataset.label_counts[:, 1:-1] > 0
    strata = np.concatenate([classes, ~classes.any(axis=1, keepdims=True)], axis=1)
    parts = [[*drawn.train], [*drawn.val], [*drawn.rest]]
    has = [np.array([strata[g].any(axis=0) for g in part]).reshape(len(part), strata.shape[1]) for part in parts]
    num = 0
    while (best := _best_exchange(parts, has, max_images)) is not None:
        (one, i), (other, j) = best
        parts[one][i], parts[other][j] = parts[other][j], parts[one][i]
        has[one][i], has[other][j] = has[other][j].copy(), has[one][i].copy()
        num += 1
    return Drawn(*parts), num


def _lack(counts: np.ndarray, available: np.ndarray, has_val: bool) -> Lack:
    """Return what is missing from training and validation.

    Args:
        counts: as `_State.counts`.
        available: as `_State.available`.
        has_val: whether there is a validation part.
    """
    absent = (counts[0, :-1] == 0) & (available[:-1] >= 1)
    val_absent = (counts[1, :-1] == 0) & (available[:-1] >= 2)
    used = counts[:, -1].sum()
    empty = int((counts[0, -1] == 0) & (used >= 1)) + int(has_val and counts[1, -1] == 0 and used >= 2)
    return int(absent.sum()), int(val_absent.sum()) if has_val else 0, empty


@dataclass(frozen=True)
class _State:
    """The parts in numbers.

    Attributes:
        counts: int64 (2, K + 1): groups of train and of val with each class, and with an image without object.
        available: int64 (K + 1,): the same for all parts together.
        num_images: images of train and val.
        num_val: images of val.
        max_images: largest number of images of train and val.
    """

    counts: np.ndarray
    available: np.ndarray
    num_images: int
    num_val: int
    max_images: int

    @property
    def lack(self) -> Lack:
        return _lack(self.counts, self.available, self.num_val > 0)

    def after(self, source: int, target: int, change: np.ndarray, num_gained: int) -> Lack | None:
        """Return what is missing after an exchange, None if it is not allowed.

        Args:
            source: the part that gives.
            target: the part that receives.
            change: int64 (K + 1,), difference of the strata of both groups.
            num_gained: by how many images the target grows.
        """
        num_images = self.num_images + (num_gained if source == REST else 0)
        num_val = self.num_val + (num_gained if target == VAL else -num_gained if source == VAL else 0)
        if num_images > self.max_images or num_val > max(self.num_val, num_images // 2):
            return None
        counts = self.counts.copy()
        counts[target] += change
        if source != REST:
            counts[source] -= change
        return _lack(counts, self.available, self.num_val > 0)


def _best_exchange(
    parts: list[list[Group]], has: list[np.ndarray], max_images: int
) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Return the exchange after which the least is missing, as (part, index) of both groups; None if none helps."""
    counts = np.stack([has[TRAIN].sum(axis=0), has[VAL].sum(axis=0)])
    num_val = sum(map(len, parts[VAL]))
    num_images = num_val + sum(map(len, parts[TRAIN]))
    state = _State(counts, counts.sum(axis=0) + has[REST].sum(axis=0), num_images, num_val, max_images)
    current = state.lack
    best: tuple[Lack, int, int, int, int, int] | None = None
    for target in (TRAIN, VAL):
        missing = (counts[target] == 0) & (state.available > 0)
        for source in (1 - target, REST):
            offered = np.flatnonzero(has[source][:, missing].any(axis=1))[:MAX_TRIED]
            replaced = range(len(parts[target]) - 1, -1, -1)[:MAX_TRIED]
            for i, j in product(offered.tolist(), replaced):
                num_gained = len(parts[source][i]) - len(parts[target][j])
                change = has[source][i].astype(np.int64) - has[target][j]
                lack = state.after(source, target, change, num_gained)
                if lack is None or lack >= current:
                    continue
                candidate = (lack, abs(num_gained), source, target, i, -j)
                best = candidate if best is None else min(best, candidate)
    if best is None:
        return None
    _, _, source, target, i, j = best
    return (target, -j), (source, i)


def absent_classes(dataset: Dataset, indices: Sequence[int]) -> list[str]:
    """Return the names of the classes that occur in none of these images."""
    pixels = dataset.label_counts[list(indices), 1:-1].sum(axis=0)
    return [name for name, num in zip(dataset.class_names, pixels.tolist(), strict=True) if not num]


def class_notes(dataset: Dataset, train: Sequence[int], val: Sequence[int]) -> list[str]:
    """Return a sentence for each part of a split that lacks classes; nothing about an empty part."""
    notes = []
    for indices, part, result in (
        (train, "training", "they cannot be learned"),
        (val, "validation", "they have no score of their own"),
    ):
        absent = absent_classes(dataset, indices) if indices else []
        if absent and dataset.num_classes == 1:
            notes.append(f"No {part} image has an object ({dataset.class_names[0]})")
        elif absent:
            shown = ", ".join(absent[:10]) + (", ..." if len(absent) > 10 else "")
            notes.append(f"{len(absent)} of {dataset.num_classes} classes are in no {part} image, so {result}: {shown}")
    return notes
