"""`split`: training, validation and test images, drawn by seed in whole groups, with every class where possible."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from samtune.data.presence import PresenceQueue, presence_notes
from samtune.data.stratify import Drawn, balance, class_notes
from samtune.errors import ConfigError, DataError
from samtune.text import count

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

    Where only some images have objects, training and validation both get their share of these, rounded up as long as
    there are enough (see `presence`), and a note says how many.

    If training or validation lacks a class that it could have, or lacks images without any object although there are
    some, groups are exchanged (see `stratify`) and a note says so; the nesting in the shots may then be lost.

    Splits that a manifest or folders name are kept: training images are drawn from "train", validation images are "val"
    (drawn from "train" if there is none), and test images are "test" and those of "train" beyond `shots`.

    Args:
        dataset: the images to split.
        shots: number of images for training and validation together; None uses all. A named "val" part is not counted.
        val: share of these images for validation, 0 <= val < 1, rounded to whole images; at least one image if val > 0
            and there are two. A single image is used for training.
        seed: of the permutation.

    Raises:
        ConfigError: `shots` or `val` is out of range.
        DataError: the data set has fewer images than `shots`, or none for training.
    """
    _check_arguments(shots, val)
    named = {part: [i for i, p in enumerate(dataset.pairs) if p.split == part] for part in ("train", "val", "test")}
    unnamed = [i for i, p in enumerate(dataset.pairs) if p.split is None]
    notes = _named_notes(dataset, named, len(unnamed))
    pool = sorted(named["train"] + unnamed)
    if not pool:
        raise DataError(
            "Expected at least one image for training, got none: the data names no split `train`; name one."
        )
    if shots is not None and shots > len(pool):
        raise DataError(f"Expected at least {shots} images for {shots} shots, got {len(pool)}; use fewer shots.")
    num_shots = len(pool) if shots is None else shots
    parts = _draw(dataset, pool, num_shots, 0.0 if named["val"] else val, seed)
    num_exchanges = 0
    if parts.num_images == len(pool):  # else a group was cut
        parts, num_exchanges = balance(dataset, parts, num_shots)
    notes += _draw_notes(parts, num_exchanges, num_shots, len(pool) - parts.num_images)
    if val > 0 and not named["val"] and not parts.val:
        notes.append("There is no validation image: a single image or group trains, and nothing selects the checkpoint")
    train, drawn, rest = (sorted(i for group in part for i in group) for part in vars(parts).values())
    validation, test = named["val"] or drawn, sorted(named["test"] + rest)
    notes += class_notes(dataset, train, validation)
    notes += presence_notes(dataset, train, validation, drawn=not named["val"])
    notes.append(f"Split with seed {seed}: {len(train)} train, {len(validation)} validation, {len(test)} unused (test)")
    return Split(tuple(train), tuple(validation), tuple(test), tuple(notes), seed)


def _check_arguments(shots: int | None, val: float) -> None:
    """Check the ranges of the arguments of `split`.

    Raises:
        ConfigError: one is out of range.
    """
    if shots is not None and shots < 1:
        raise ConfigError(f"Expected `shots` >= 1, got {shots}.")
    if not 0 <= val < 1:
        raise ConfigError(f"Expected `val` as a share in 0 <= val < 1, got {val}.")


def _named_notes(dataset: Dataset, named: dict[str, list[int]], num_unnamed: int) -> list[str]:
    """Return sentences on the split that the data names; none if it names none."""
    if not any(named.values()):
        return []
    sizes = ", ".join(f"{len(indices)} {part}" for part, indices in named.items() if indices)
    notes = [f"The data names its own split ({sizes}): kept"]
    if num_unnamed:
        notes.append(f"{count(num_unnamed, 'image')} without a named split used as train")
    return notes + _leaking_groups(dataset, named)


def _draw_notes(parts: Drawn, num_exchanges: int, shots: int, num_cut: int) -> list[str]:
    """Return sentences on how the drawn parts differ from a draw of single images.

    Args:
        parts: the drawn parts.
        num_exchanges: exchanges that `balance` made.
        shots: requested number of images for training and validation.
        num_cut: images of a cut group that are in no part.
    """
    notes = []
    if num_exchanges:
        notes.append(
            f"Stratified: {count(num_exchanges, 'exchange')} of images, for classes that the draw left out of a part"
        )
    used = sum(len(group) for group in (*parts.train, *parts.val))
    if used != shots:
        notes.append(f"Groups are kept whole, so {used} of {shots} images are used")
    if num_cut:
        notes.append(f"The first group is larger than {shots} shots: {num_cut} of its images are in no part")
    return notes


def _draw(dataset: Dataset, pool: list[int], shots: int, val: float, seed: int) -> Drawn:
    """Return training, validation and rest, taken from the front of one seeded permutation of groups.

    A group goes to validation when the share of the images so far requires it, so both parts are nested in `shots`.
    Where some groups have objects and others do not, each part takes them in turn, by their shares of all groups.
    """
    groups: dict[str, list[int]] = {}
    for index in pool:
        pair = dataset.pairs[index]
        key = f"group {pair.group}" if pair.group is not None else f"image {pair.stem}"
        groups.setdefault(key, []).append(index)
    order = sorted(groups)
    random.Random(seed).shuffle(order)
    queue = PresenceQueue(dataset, [groups[key] for key in order])
    train: list[list[int]] = []
    validation: list[list[int]] = []
    used = num_val = 0
    while queue:
        size = len(queue.next_for("val"))
        validates = bool(train) and _num_val(used + size, val) - num_val >= size / 2
        part = "val" if validates else "train"
        if used + len(queue.next_for(part)) > shots:
            break
        members = queue.take(part)
        used += len(members)
        num_val += len(members) if validates else 0
        (validation if validates else train).append(members)
    num_used = len(train) + len(validation)
    if not num_used:
        # The first group is larger than `shots`. Its other images are in no part: tests must be of unseen groups.
        return Drawn([queue.take("train")[:shots]], [], queue.rest())
    if val > 0 and not validation and num_used > 1:
        smallest = min(train, key=len)
        validation = [smallest]
        train = [group for group in train if group is not smallest]
    return Drawn(train, validation, queue.rest())


def _num_val(num: int, val: float) -> int:
    """Return how many of `num` images validate: the share, rounded half up; at least one of two images."""
    if val <= 0 or num < 2:
        return 0
    return min(num - 1, max(1, math.floor(num * val + 0.5)))


def _leaking_groups(dataset: Dataset, named: dict[str, list[int]]) -> list[str]:
    """Return a sentence if groups have images in several parts of the named split, else nothing."""
    parts: dict[str, set[str]] = {}
    for part, indices in named.items():
        for index in indices:
            group = dataset.pairs[index].group
            if group is not None:
                parts.setdefault(group, set()).add(part)
    leaking = sorted(group for group, names in parts.items() if len(names) > 1)
    if not leaking:
        return []
    groups = count(len(leaking), "group")
    return [f"{groups} in more than one named split (such as {leaking[0]}): scores may be too good"]


def split_record(dataset: Dataset, parts: Split) -> dict[str, Any]:
    """Return the split in plain JSON types: seed, notes, and for each part a list of {"stem", "content_id"}.

    The content_id of test images is None, so that the images that the run does not use need not be decoded.
    """
    record: dict[str, Any] = {"seed": parts.seed, "notes": list(parts.notes)}
    for name, indices in (("train", parts.train), ("val", parts.val)):
        record[name] = [{"stem": dataset.pairs[i].stem, "content_id": dataset.content_id(i)} for i in indices]
    record["test"] = [{"stem": dataset.pairs[i].stem, "content_id": None} for i in parts.test]
    return record
