"""Splits have each class in training and in validation where possible, and are left alone where nothing lacks."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from samtune.data import Dataset, inspect, open_dataset, split
from samtune.data.masks import MaskEncoding
from samtune.data.stratify import class_notes
from samtune.types import Pair
from tests.data.folders import disc, picture, save

SEEDS = range(50)


def data(
    classes: list[set[int]], groups: Sequence[str | None] | None = None, parts: Sequence[str | None] | None = None
) -> Dataset:
    """Images that have these classes, without any file."""
    num = max((max(each, default=0) for each in classes), default=1)
    counts = np.zeros((len(classes), num + 2), np.int64)
    for row, each in zip(counts, classes, strict=True):
        row[0] = 100
        row[list(each)] = 10
    groups, parts = groups or [None] * len(classes), parts or [None] * len(classes)
    pairs = tuple(
        Pair(f"{i:03d}", Path(f"{i:03d}.png"), Path(f"{i:03d}.png"), group, part)
        for i, (group, part) in enumerate(zip(groups, parts, strict=True))
    )
    names = tuple(f"class_{k}" for k in range(1, num + 1))
    encoding = MaskEncoding("ids", "value", tuple((k, k) for k in range(1, num + 1)), None, num, "ids")
    return Dataset(pairs, encoding, names, None, (), counts, ((10, 10),) * len(classes))


def as_drawn(dataset: Dataset, shots: int, val: float, seed: int) -> tuple[list[int], list[int]]:
    """Training and validation as one permutation gives them, for images without groups."""
    order = list(range(len(dataset)))
    random.Random(seed).shuffle(order)
    train: list[int] = []
    chosen: list[int] = []
    for used, index in enumerate(order[:shots], start=1):
        wanted = 0 if used < 2 else min(used - 1, max(1, math.floor(used * val + 0.5)))
        (chosen if train and wanted > len(chosen) else train).append(index)
    return sorted(train), sorted(chosen)


def present(dataset: Dataset, indices: tuple[int, ...] | list[int]) -> set[int]:
    """Classes of some images, 0 for an image without any."""
    rows = dataset.label_counts[list(indices), 1:-1] > 0
    return {int(k) + 1 for k in np.flatnonzero(rows.any(axis=0))} | ({0} if (~rows.any(axis=1)).any() else set())


CASES: dict[str, tuple[list[set[int]], set[int], set[int]]] = {
    # name: classes of each image, what training and what validation must have at least
    "a rare class": ([{1}] * 18 + [{1, 2}] * 2, {1, 2}, {1, 2}),
    "three rare classes": ([{1}] * 14 + [{2}] * 2 + [{3}] * 2 + [{4}] * 2, {1, 2, 3, 4}, {1, 2, 3, 4}),
    "a class of one image": ([{1}] * 11 + [{1, 2}], {1, 2}, {1}),
    "few objects": ([set()] * 18 + [{1}] * 2, {0, 1}, {0, 1}),
    "few images without object": ([{1}] * 14 + [set()] * 2, {0, 1}, {0, 1}),
    "several in each": ([{1, 2}, {2, 3}, {3, 4}, {4, 5}, {5, 1}, {1, 2}, {2, 3}, {3, 4}], {1, 2, 3, 4, 5}, {1, 2}),
    "two images": ([{1}, {1}], {1}, {1}),
}


@pytest.mark.parametrize("name", CASES)
def test_each_class_is_in_both_parts_where_it_can_be(name: str) -> None:
    classes, in_train, in_val = CASES[name]
    dataset = data(classes)
    for seed in SEEDS:
        parts = split(dataset, seed=seed)
        train, val = as_drawn(dataset, len(dataset), 0.25, seed)
        assert parts == split(dataset, seed=seed)
        assert sorted(parts.train + parts.val) == list(range(len(dataset)))
        assert (len(parts.train), len(parts.val)) == (len(train), len(val))
        assert present(dataset, parts.train) >= in_train
        if name == "several in each":
            assert len(present(dataset, parts.val)) >= 4
        else:
            assert present(dataset, parts.val) >= in_val
        if all(classes) and present(dataset, train) == present(dataset, val) == set().union(*classes):
            assert (list(parts.train), list(parts.val)) == (train, val)


def test_a_draw_that_lacks_nothing_is_left_as_it_was() -> None:
    dataset = data([{1, 2}] * 30 + [{1}] * 10)
    changed = 0
    for seed in SEEDS:
        for shots in (8, 16, 40):
            train, val = as_drawn(dataset, shots, 0.25, seed)
            parts = split(dataset, shots=shots, seed=seed)
            lacking = not present(dataset, train) == present(dataset, val) == {1, 2}
            exchanged = (list(parts.train), list(parts.val)) != (train, val)
            assert exchanged == lacking
            assert any("Stratified" in note for note in parts.notes) == exchanged
            changed += exchanged
    assert 0 < changed < 20


def test_shots_take_missing_classes_from_the_unused_images() -> None:
    dataset = data([{1}] * 30 + [{1, 2}] * 2 + [{1, 3}] * 2)
    for seed in SEEDS:
        parts = split(dataset, shots=8, seed=seed)
        assert (len(parts.train), len(parts.val), len(parts.test)) == (6, 2, 26)
        assert present(dataset, parts.train) == {1, 2, 3}
        assert present(dataset, parts.val) == {1, 2, 3}
        alone = split(dataset, shots=4, val=0, seed=seed)
        assert (present(dataset, alone.train), alone.val) == ({1, 2, 3}, ())


def test_groups_stay_whole_and_parts_keep_their_sizes() -> None:
    groups: list[str | None] = [f"g{i // 4}" for i in range(40)]
    classes = [{1}] * 32 + [{1, 2}] * 8
    dataset = data(classes, groups)
    for seed in SEEDS:
        parts = split(dataset, seed=seed)
        sides = [{groups[i] for i in part} for part in (parts.train, parts.val)]
        assert not sides[0] & sides[1]
        assert (len(parts.train), len(parts.val)) == (28, 12) or len(parts.val) == 8
        assert present(dataset, parts.train) == present(dataset, parts.val) == {1, 2}


def test_a_large_group_does_not_become_most_of_the_data_by_an_exchange() -> None:
    groups: list[str | None] = ["big"] * 20 + ["other"] * 20 + [None] * 4
    dataset = data([{1, 2}] * 40 + [{1}] * 4, groups)
    for seed in SEEDS:
        parts = split(dataset, seed=seed)
        assert len(parts.val) <= len(parts.train)


def test_named_parts_are_never_exchanged_and_what_they_lack_is_said() -> None:
    dataset = data([{1, 2}, {1}, {3}, {3}], parts=["train", "train", "val", "test"])
    parts = split(dataset)
    assert (parts.train, parts.val, parts.test) == ((0, 1), (2,), (3,))
    assert "1 of 3 classes are in no training image, so they cannot be learned: class_3" in parts.notes
    assert any("2 of 3 classes are in no validation image" in note for note in parts.notes)


def test_what_no_split_can_mend_is_said() -> None:
    parts = split(data([{1}] * 7 + [{1, 2}]), seed=1)
    assert any("1 of 2 classes are in no validation image" in note and "class_2" in note for note in parts.notes)
    one = data([{1}] * 3 + [set()])
    assert class_notes(one, (3,), (0,)) == ["No training image has an object (class_1)"]
    assert class_notes(one, (0,), ()) == []


def test_a_class_that_only_an_option_names_is_said() -> None:
    dataset = data([{1, 3}] * 8)
    assert any("class_2" in note for note in split(dataset).notes)


def test_many_images_are_split_in_little_time() -> None:
    rng = np.random.default_rng(0)
    classes = [{1, *rng.integers(1, 20, 2).tolist()} for _ in range(3000)] + [{20, 1}] * 2
    parts = split(data(classes), seed=3)
    assert len(parts.train) + len(parts.val) == 3002
    assert present(data(classes), parts.val) >= {20}


def test_the_doctor_tells_of_rare_and_missing_classes(tmp_path: Path) -> None:
    ids = disc() + disc(radius=3)
    for number, mask in enumerate((disc(), disc(shift=2), ids)):
        save(tmp_path / "images" / f"{number}.png", picture(number))
        save(tmp_path / "masks" / f"{number}.png", mask)
    folders = tmp_path / "images", tmp_path / "masks"
    found = {problem.kind: problem for problem in inspect(*folders).problems}
    assert "class_2 occurs in only one image (2.png)" in found["rare_class"].what
    lines = [f"images/{i}.png,masks/{i}.png,{part}" for i, part in enumerate(("train", "train", "val"))]
    (tmp_path / "m.csv").write_text("image,mask,split\n" + "\n".join(lines))
    found = {problem.kind: problem for problem in inspect(tmp_path / "m.csv").problems}
    assert "in no training image" in found["missing_class"].what
    assert not inspect(*folders).stops_training
    assert len(open_dataset(*folders)) == 3
