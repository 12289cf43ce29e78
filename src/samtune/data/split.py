"""Training, validation and test images: drawn by seed, in whole groups, each class in both parts where possible."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from samtune.data.stratify import Drawn, balance, class_notes
from samtune.errors import ConfigError, DataError

if TYPE_CHECKING:
    from samtune.data.dataset import Dataset


@dataclass(frozen=True)
class Split:
    """Disjoint indices into a data set.

    Attributes:
        train: images that the method is trained on.
        val: images that select the checkpoint and the threshold; may be empty.
        test: images that the run does not use.
        notes: how the split was made, as sentences.
        seed: the seed of the draw.
    """

    train: tuple[int, ...]
    val: tuple[int, ...]
    test: tuple[int, ...]
    notes: tuple[str, ...] = ()
    seed: int = 0


def split(dataset: Dataset, *, shots: int | None = None, val: float = 0.25, seed: int = 0) -> Split:
    """Draw training and validation images; the others are test images.

    `seed` determines one permutation of the groups (an image without a group is a group of its own), and images are
    taken from its front. So 8 shots are a subset of 16 shots with the same seed, in training and in validation. Groups
    stay whole, so that the run may use fewer images than `shots`, by less than one group. Only a first group that is
    larger than `shots` is cut, and its other images are in no part.

    If training or validation lacks a class that it could have, or lacks images without any object although there are
    some, groups are exchanged (see `stratify`) and a note says so; the nesting in the shots may then be lost.

    Splits that a manifest or folders name are kept: training images are drawn from "train", validation images are "val"
    (drawn from "train" if there is none), and test images are "test" and those of "train" beyond `shots`.

    Args:
        dataset: the images to split.
        shots: number of images for training and validation together; None uses all. A named "val" part is not counted.
        val: share of these images that validate, 0 <= val < 1, rounded to whole images; at least one image if val > 0
            and there are two. A single image is used for training.
        seed: of the permutation.

    Raises:
        ConfigError: `shots` or `val` is out of range.
        DataError: the data set has fewer images than `shots`, or none for training.
    """
    if shots is not None and shots < 1:
        raise ConfigError(f"Expected `shots` >= 1, got {shots}.")
    if not 0 <= val < 1:
        raise ConfigError(f"Expected `val` as a share in 0 <= val < 1, got {val}.")
    named = {part: [i for i, p in enumerate(dataset.pairs) if p.split == part] for part in ("train", "val", "test")}
    loose = [i for i, p in enumerate(dataset.pairs) if p.split is None]
    notes = []
    if any(named.values()):
        counts = ", ".join(f"{len(indices)} {part}" for part, indices in named.items() if indices)
        notes.append(f"The data names its own split ({counts}): kept")
        if loose:
            notes.append(f"{len(loose)} image(s) without a named split count as train")
        notes += _leaking_groups(dataset, named)
    pool = sorted(named["train"] + loose)
    if not pool:
        raise DataError(
            "Expected at least one image for training, got none: the data names no split `train`; name one."
        )
    if shots is not None and shots > len(pool):
        raise DataError(f"Expected at least {shots} images for {shots} shots, got {len(pool)}; use fewer shots.")
    share = 0.0 if named["val"] else val
    drawn_groups = _draw(dataset, pool, len(pool) if shots is None else shots, share, seed)
    num_exchanges = 0
    if drawn_groups.num_images == len(pool):  # else a group was cut
        drawn_groups, num_exchanges = balance(dataset, drawn_groups, len(pool) if shots is None else shots)
    train, drawn, rest = (sorted(i for group in part for i in group) for part in vars(drawn_groups).values())
    if num_exchanges:
        notes.append(
            f"Stratified: {num_exchanges} exchange(s) of images, for classes that the draw had left out of a part"
        )
    if shots is not None and len(train) + len(drawn) != shots:
        notes.append(f"Groups are kept whole, so {len(train) + len(drawn)} of {shots} images are used")
    lost = len(pool) - len(train) - len(drawn) - len(rest)
    if lost:
        notes.append(f"The first group is larger than {shots} shots: {lost} of its images are in no part")
    if val > 0 and not named["val"] and not drawn:
        notes.append("There is no validation image: a single image or group trains, and nothing chooses the checkpoint")
    val_indices = named["val"] or drawn
    test = sorted(named["test"] + rest)
    notes += class_notes(dataset, train, val_indices)
    notes.append(
        f"Split with seed {seed}: {len(train)} train, {len(val_indices)} validation, {len(test)} unused (test)"
    )
    return Split(tuple(train), tuple(val_indices), tuple(test), tuple(notes), seed)


def _draw(dataset: Dataset, pool: list[int], shots: int, val: float, seed: int) -> Drawn:
    """Return training, validation and rest, taken from the front of one seeded permutation of groups.

    A group goes to validation when the share of the images so far requires it, so both parts are nested in `shots`.
    """
    groups: dict[str, list[int]] = {}
    for index in pool:
        pair = dataset.pairs[index]
        key = f"group {pair.group}" if pair.group is not None else f"image {pair.stem}"
        groups.setdefault(key, []).append(index)
    order = sorted(groups)
    random.Random(seed).shuffle(order)
    train: list[list[int]] = []
    validation: list[list[int]] = []
    used = num_val = 0
    for key in order:
        members = groups[key]
        if used + len(members) > shots:
            break
        used += len(members)
        if train and _num_val(used, val) - num_val >= len(members) / 2:
            validation.append(members)
            num_val += len(members)
        else:
            train.append(members)
    taken = len(train) + len(validation)
    if not taken:
        # The first group is larger than `shots`. Its other images are in no part, because test images must be unknown.
        return Drawn([groups[order[0]][:shots]], [], [groups[key] for key in order[1:]])
    if val > 0 and not validation and taken > 1:
        smallest = min(train, key=len)
        validation = [smallest]
        train = [group for group in train if group is not smallest]
    return Drawn(train, validation, [groups[key] for key in order[taken:]])


def _num_val(num: int, val: float) -> int:
    """Return how many of `num` images validate: the share, rounded half up; at least one of two images."""
    if val <= 0 or num < 2:
        return 0
    return min(num - 1, max(1, math.floor(num * val + 0.5)))


def _leaking_groups(dataset: Dataset, named: dict[str, list[int]]) -> list[str]:
    """Return a note if groups are in several named splits."""
    parts: dict[str, set[str]] = {}
    for part, indices in named.items():
        for index in indices:
            group = dataset.pairs[index].group
            if group is not None:
                parts.setdefault(group, set()).add(part)
    leaking = sorted(group for group, where in parts.items() if len(where) > 1)
    if not leaking:
        return []
    return [f"{len(leaking)} group(s) lie in several named splits (such as {leaking[0]}): scores may be too good"]


def split_record(dataset: Dataset, parts: Split) -> dict[str, Any]:
    """Return the split in plain JSON types: seed, notes, and for each part a list of {"stem", "content_id"}.

    The content_id of test images is None, so that a large unused rest is not decoded.
    """
    record: dict[str, Any] = {"seed": parts.seed, "notes": list(parts.notes)}
    for name, indices in (("train", parts.train), ("val", parts.val)):
        record[name] = [{"stem": dataset.pairs[i].stem, "content_id": dataset.content_id(i)} for i in indices]
    record["test"] = [{"stem": dataset.pairs[i].stem, "content_id": None} for i in parts.test]
    return record
