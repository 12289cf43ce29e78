"""Which images train, which validate, which stay unseen: seeded, whole groups, each class in both where possible."""

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
    """Indices into a data set; the three parts share none.

    Attributes:
        train: what the method learns from.
        val: what chooses the checkpoint and the threshold; may be empty.
        test: what this run never sees.
        notes: how the split came about, as sentences.
        seed: the seed it was drawn with.
    """

    train: tuple[int, ...]
    val: tuple[int, ...]
    test: tuple[int, ...]
    notes: tuple[str, ...] = ()
    seed: int = 0


def split(dataset: Dataset, *, shots: int | None = None, val: float = 0.25, seed: int = 0) -> Split:
    """Draw train and validation images; what is left is test.

    One permutation of the groups is drawn from `seed` (an image without a group is its own), and images are
    taken from its front, so 8 shots are a subset of 16 shots with the same seed, also separately for train
    and for validation. Groups are kept whole: the run may use fewer images than `shots`, by less than one
    group. Only a first group that alone exceeds `shots` is cut; what is cut off is in no part.
    Where the draw leaves training or validation without a class, or without any image that has no object, although
    that could be there, groups are exchanged (`stratify`) and a note says so; such a draw may not be nested in the
    shots. Any other draw is left as it is.
    Splits that a manifest or folder names are kept: train is drawn from "train" only, validation is "val"
    (drawn from "train" if there is none), test is "test" and nothing else is ever moved there except train
    images beyond `shots`.

    Args:
        dataset: what to split.
        shots: how many images the run may use in all, validation included; None uses all. A named "val" part
            comes on top of it.
        val: the share of these images that validate, 0 <= val < 1; rounded to whole images, at least one
            image if val > 0 and there are two. One image alone trains.
        seed: of the permutation.

    Raises:
        ConfigError: `shots` or `val` is out of range.
        DataError: the data set has fewer images than `shots`, or nothing to train on.
    """
    if shots is not None and shots < 1:
        raise ConfigError(f"shots must be at least 1, got {shots}")
    if not 0 <= val < 1:
        raise ConfigError(f"val must be a share in 0 <= val < 1, got {val}")
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
        raise DataError("there must be at least one image to train on, but the data names none as train; name some")
    if shots is not None and shots > len(pool):
        raise DataError(f"{shots} shots need as many images, but there are {len(pool)}; ask for fewer")
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
    chosen_val = named["val"] or drawn
    test = sorted(named["test"] + rest)
    notes += class_notes(dataset, train, chosen_val)
    notes.append(f"Split with seed {seed}: {len(train)} train, {len(chosen_val)} validation, {len(test)} unused (test)")
    return Split(tuple(train), tuple(chosen_val), tuple(test), tuple(notes), seed)


def _draw(dataset: Dataset, pool: list[int], shots: int, val: float, seed: int) -> Drawn:
    """Train, validation and rest from the front of one seeded permutation of groups.

    The j-th group taken goes to validation where the number wanted of j steps up, so both parts are nested
    in `shots`.
    """
    groups: dict[str, list[int]] = {}
    for index in pool:
        pair = dataset.pairs[index]
        key = f"group {pair.group}" if pair.group is not None else f"image {pair.stem}"
        groups.setdefault(key, []).append(index)
    order = sorted(groups)
    random.Random(seed).shuffle(order)
    train: list[list[int]] = []
    chosen: list[list[int]] = []
    used = num_chosen = 0
    for key in order:
        members = groups[key]
        if used + len(members) > shots:
            break
        used += len(members)
        if train and _num_val(used, val) - num_chosen >= len(members) / 2:
            chosen.append(members)
            num_chosen += len(members)
        else:
            train.append(members)
    taken = len(train) + len(chosen)
    if not taken:
        # The first group alone exceeds all shots; what is cut off is in no part, or test would know it.
        return Drawn([groups[order[0]][:shots]], [], [groups[key] for key in order[1:]])
    if val > 0 and not chosen and taken > 1:
        smallest = min(train, key=len)
        chosen = [smallest]
        train = [group for group in train if group is not smallest]
    return Drawn(train, chosen, [groups[key] for key in order[taken:]])


def _num_val(num: int, val: float) -> int:
    """How many of `num` images validate: the share rounded half up, at least one if two."""
    if val <= 0 or num < 2:
        return 0
    return min(num - 1, max(1, math.floor(num * val + 0.5)))


def _leaking_groups(dataset: Dataset, named: dict[str, list[int]]) -> list[str]:
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
    """The split as plain JSON types: seed, notes, and for each part a list of {"stem", "content_id"}.

    Test images are recorded by stem only, so that nothing of a large unused rest need be decoded; their
    content_id is None.
    """
    record: dict[str, Any] = {"seed": parts.seed, "notes": list(parts.notes)}
    for name, indices in (("train", parts.train), ("val", parts.val)):
        record[name] = [{"stem": dataset.pairs[i].stem, "content_id": dataset.content_id(i)} for i in indices]
    record["test"] = [{"stem": dataset.pairs[i].stem, "content_id": None} for i in parts.test]
    return record
