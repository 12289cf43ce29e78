"""Groups of test images: those of the manifest, and thirds by the size of the objects."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from samtune.data import Dataset

MIN_IN_GROUP, MAX_GROUPS = 3, 12
MIN_FOR_THIRDS = 9


@dataclass(frozen=True)
class ImageGroup:
    """A group of test images.

    Attributes:
        name: name in sentences and tables.
        indices: indices of its images among the test images.
    """

    name: str
    indices: tuple[int, ...]


def image_groups(dataset: Dataset, test: Sequence[int]) -> tuple[tuple[ImageGroup, ...], tuple[str, ...]]:
    """Return the groups that can be formed, and clauses (without a full stop) on those that cannot.

    Args:
        dataset: all images.
        test: indices of the test images.
    """
    named, why_named = _of_manifest(dataset, test)
    sized, why_sized = _by_size(dataset, test)
    return (*named, *sized), (*why_named, *why_sized)


def units_of(dataset: Dataset, test: Sequence[int]) -> tuple[int, ...] | None:
    """Return each test image's unit as a number: its group in the manifest, or itself; None without groups."""
    keys = [dataset.pairs[i].group or f"image {dataset.pairs[i].stem}" for i in test]
    if len(set(keys)) == len(keys):
        return None
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    return tuple(numbers[key] for key in keys)


def _of_manifest(dataset: Dataset, test: Sequence[int]) -> tuple[list[ImageGroup], list[str]]:
    groups: dict[str, list[int]] = {}
    for position, index in enumerate(test):
        group = dataset.pairs[index].group
        if group is not None:
            groups.setdefault(group, []).append(position)
    if not groups:
        return [], ["The data set names no groups of images"]
    large = {name: members for name, members in groups.items() if len(members) >= MIN_IN_GROUP}
    if not 2 <= len(large) <= MAX_GROUPS:
        sizes = Counter(map(len, groups.values()))
        typical = sizes.most_common(1)[0][0]
        sentence = f"The data set names {len(groups)} groups among the test images, most of {typical} image(s)"
        return [], [f"{sentence}: too few, too many or too small to compare one by one"]
    return [ImageGroup(f"group {name}", tuple(members)) for name, members in sorted(large.items())], []


def _by_size(dataset: Dataset, test: Sequence[int]) -> tuple[list[ImageGroup], list[str]]:
    counts = dataset.label_counts[list(test)]
    counted = counts[:, :-1].sum(1)
    shares = counts[:, 1:-1].sum(1) / np.maximum(counted, 1)
    present = np.flatnonzero(shares > 0)
    groups = []
    why = []
    order = present[np.argsort(shares[present], kind="stable")]
    if len(order) < MIN_FOR_THIRDS or shares[order[0]] == shares[order[-1]]:
        why.append(f"No groups by object size: they need {MIN_FOR_THIRDS} test images with objects of different sizes")
    else:
        for name, part in zip(("smallest", "middle", "largest"), np.array_split(order, 3), strict=True):
            low, high = (100 * shares[part[k]] for k in (0, -1))
            description = f"{name} objects ({low:.2g} to {high:.2g} % of the image)"
            groups.append(ImageGroup(description, tuple(sorted(map(int, part)))))
    without = np.flatnonzero(shares == 0)
    if len(without) >= MIN_IN_GROUP:
        groups.append(ImageGroup("images without objects", tuple(map(int, without))))
    return groups, why
