"""Draws of test images and of the images that cells learn from; copies of an image stay together."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from samtune.data import split as split_dataset
from samtune.data.images.duplicates import duplicate_groups, linked_sets, thumbnail
from samtune.errors import DataError
from samtune.progress import track

if TYPE_CHECKING:
    from samtune.data import Dataset, Split

MAX_TEST = 200
"""Default upper bound of the number of test images."""

TEST_SEED = 20_261_121
"""Seed of the draw of the test images, independent of the cells' seeds, so that all cells share them."""


@dataclass(frozen=True)
class Draws:
    """Test images and the images to draw training images from, as indices into the data set.

    Attributes:
        test: images that every cell is scored on.
        pool: images that cells draw from.
        notes: clauses about the draw, without a full stop.
    """

    test: tuple[int, ...]
    pool: tuple[int, ...]
    notes: tuple[str, ...] = ()


def draw_test(dataset: Dataset, *, num_test: int | None, max_shots: int, num_seeds: int) -> Draws:
    """Draw the test images.

    Args:
        dataset: all images.
        num_test: number of test images; None for half of the images, at most `MAX_TEST`. Fewer are drawn where
            `max_shots` images would not be left otherwise. No effect where the data set names its test images.
        max_shots: largest number of images that a cell learns from.
        num_seeds: number of draws, for the note on their overlap.

    Raises:
        DataError: there are too few images, or their groups are too large to divide.
    """
    named = [i for i, pair in enumerate(dataset.pairs) if pair.split == "test"]
    if named:
        pool = [i for i, pair in enumerate(dataset.pairs) if pair.split != "test"]
        notes = [f"The data set names {len(named)} test images; every cell is scored on them"]
        copies = _copies_across(dataset, set(named))
        if copies:
            notes.append(
                f"{copies} test image(s) have a copy or near-copy among the other images, so scores may be inflated"
            )
        return Draws(tuple(named), tuple(pool), (*notes, *_overlap(dataset, pool, max_shots, num_seeds)))
    drawable = [i for i, pair in enumerate(dataset.pairs) if pair.split in (None, "train")]
    room = len(drawable) - max_shots
    if room < 1:
        raise DataError(
            f"Expected at least {max_shots + 1} images for {max_shots} labelled ones and a test image, got "
            f"{len(drawable)}; use fewer shots."
        )
    size = min(room, num_test if num_test is not None else min(MAX_TEST, len(drawable) // 2))
    units, notes = _units(dataset, drawable)
    random.Random(TEST_SEED).shuffle(units)
    test: list[int] = []
    for unit in units:
        if len(test) + len(unit) <= size:
            test += unit
    if not test:
        raise DataError(
            f"Expected a group of at most {size} images to test on, to leave {max_shots} labelled ones (copies count "
            f"as a group), got {min(map(len, units))} in the smallest; use fewer shots, or name test images in a "
            "manifest."
        )
    pool = sorted(set(range(len(dataset))) - set(test))
    notes.append(f"Every cell is scored on the same {len(test)} of {len(dataset)} images, and no cell learns from them")
    if num_test is not None and len(test) < num_test:
        notes.append(f"Only {len(test)} images can be spared for testing; {num_test} were requested")
    notes += _overlap(dataset, pool, max_shots, num_seeds)
    return Draws(tuple(sorted(test)), tuple(pool), tuple(notes))


def draw_support(dataset: Dataset, pool: tuple[int, ...], *, shots: int, val: float, seed: int) -> Split:
    """Return the images of one cell, as indices into `dataset.subset(pool)`; `train` draws the same."""
    return split_dataset(dataset.subset(pool), shots=shots, val=val, seed=seed)


def _overlap(dataset: Dataset, pool: list[int], max_shots: int, num_seeds: int) -> list[str]:
    """Return a clause where the draws of the seeds share many images, else nothing."""
    drawable = sum(dataset.pairs[i].split in (None, "train") for i in pool)
    if num_seeds < 2 or 2 * max_shots <= drawable:
        return []
    return [
        f"The draws of {max_shots} images come from only {drawable}, so different seeds share images, and the spread "
        "over seeds is underestimated"
    ]


def _units(dataset: Dataset, indices: list[int]) -> tuple[list[list[int]], list[str]]:
    """Return sets of images that stay together: of one group of the manifest, or (nearly) the same picture."""
    together: dict[str, list[int]] = {}
    for index in indices:
        group = dataset.pairs[index].group
        if group is not None:
            together.setdefault(group, []).append(index)
    copies = _duplicates(dataset, indices)
    position = {index: number for number, index in enumerate(indices)}
    links = [(position[index], position[unit[0]]) for unit in (*together.values(), *copies) for index in unit]
    units = linked_sets(len(indices), [np.reshape(links, (-1, 2)).T])
    notes = []
    if copies:
        notes.append(
            f"{sum(map(len, copies))} images are copies or near-copies of one another ({len(copies)} sets): each set "
            "is kept together, in the test or outside it"
        )
    return sorted(sorted(indices[item] for item in unit) for unit in units), notes


def _duplicates(dataset: Dataset, indices: list[int]) -> list[list[int]]:
    """Return sets of two or more indices whose images are the same or nearly so."""
    thumbnails, identities = [], []
    for index in track(indices, "Looking for copies", len(indices)):
        thumbnails.append(thumbnail(dataset.image(index)))
        identities.append(dataset.content_id(index))
    return [[indices[i] for i in members] for members in duplicate_groups(thumbnails, identities)]


def _copies_across(dataset: Dataset, test: set[int]) -> int:
    """Return the number of test images that have a copy or near-copy outside the test."""
    sets = _duplicates(dataset, list(range(len(dataset))))
    return sum(len(test & set(members)) for members in sets if set(members) - test and test & set(members))
