"""Splits of partly empty data sets: objects in both parts by their share; other data sets are split as ever."""

from __future__ import annotations

import hashlib
import json
import math

import pytest

from samtune.data import Split, split
from samtune.data.presence import PresenceQueue, undecided_notes
from tests.data.test_stratify import data

SEEDS = range(5)


def digest(parts: Split) -> str:
    """Short digest of all that `split.json` holds of a split, the contents of the images apart."""
    record = json.dumps([parts.train, parts.val, parts.test, parts.notes])
    return hashlib.sha256(record.encode()).hexdigest()[:16]


RECORDED = {
    # recorded before parts were stratified by presence: all images, then smaller numbers of shots, seeds 0 to 4 of each
    "one class": ((None, 16), "9090666fda232857 e02a6a857315b5a4 ff5f8d4f0059b29b 3b0994918d40e20c 28574cd34b75e6d2 "
                  "7032d6562def6d61 c60cdf4a40b8b8bb ae96df98b11beccd fa9ef78b3ca57b6f 2e9515cbf2605602"),
    "rare classes": ((None, 8), "ae098f89f688e1ac 2d1f35765e21ce7d b9cbcaaa9f3b8dca c6498b5278c1a451 77783926f54438ce "
                     "326cae817d347153 9735e5483ff0902a 1cad001cbba264d6 a014c426c636d710 c78fa2a28afb8d97"),
    "groups": ((None, 2), "6f66737b3a1b076a 539f4a9696b1cdf8 876c563f957f2568 9697d4a8c0c6a2a1 7b773d949366b024 "
               "9edec9fbe2fb7982 1a3505db1ad76586 02931b23306074c2 394f96b0225f3534 73275a8c0ff10dd5"),
    "named parts": ((None, 8), "bf5df6ddf44b40aa d5a16c4265a3df13 82c5a672c3800eba a0319724f2ba6d62 a8428e8973be0af0 "
                    "5e43cb792adf1336 0927c1174ff2a765 95578d133e94fa55 848bd999a306b841 258cad8986169020"),
}  # fmt: skip

DATA = {
    "one class": lambda: data([{1}] * 40),
    "rare classes": lambda: data([{1}] * 30 + [{1, 2}] * 2 + [{1, 3}] * 2),
    "groups": lambda: data([{1}] * 32 + [{1, 2}] * 8, [f"g{i // 3}" for i in range(36)] + [None] * 4),
    "named parts": lambda: data([{1}] * 20, parts=["train"] * 12 + ["val"] * 4 + ["test"] * 4),
}


@pytest.mark.parametrize("name", RECORDED)
def test_where_every_image_has_objects_the_split_is_as_recorded(name: str) -> None:
    dataset, (shots, digests) = DATA[name](), RECORDED[name]
    assert [digest(split(dataset, shots=num, seed=seed)) for num in shots for seed in SEEDS] == digests.split()


@pytest.mark.parametrize(("num_with", "num"), [(22, 60), (4, 40), (3, 40), (2, 40), (57, 60)])
@pytest.mark.parametrize("shots", [None, 16])
def test_both_parts_have_their_share_of_images_with_objects(num_with: int, num: int, shots: int | None) -> None:
    dataset = data([{1}] * num_with + [set()] * (num - num_with))
    drawn = set()
    for seed in SEEDS:
        parts = split(dataset, shots=shots, seed=seed)
        assert (len(parts.train), len(parts.val)) == ((12, 4) if shots else (num * 3 // 4, num // 4))
        having = [sum(index < num_with for index in part) for part in (parts.train, parts.val)]
        assert all(0 < have <= math.ceil(len(part) * num_with / num) for have, part in
                   zip(having, (parts.train, parts.val), strict=True))  # fmt: skip
        assert having[1] >= math.floor(len(parts.val) * num_with / num)
        said = any(f"{having[0]} of {len(parts.train)} training and {having[1]} of" in note for note in parts.notes)
        assert said == (sum(having) < len(parts.train) + len(parts.val))
        assert any("can hardly decide" in note for note in parts.notes) == (having[1] < 2)
        drawn.add(parts.val)
    assert len(drawn) == len(SEEDS)


def test_fewer_shots_are_a_subset_of_more_in_both_parts() -> None:
    dataset = data([{1}] * 22 + [set()] * 38)
    for seed in SEEDS:
        few, some, all_images = (split(dataset, shots=shots, seed=seed) for shots in (8, 16, None))
        assert set(few.train) < set(some.train) < set(all_images.train)
        assert set(few.val) < set(some.val) < set(all_images.val)


def test_a_single_shot_has_an_object() -> None:
    dataset = data([{1}] * 4 + [set()] * 36)
    assert all(split(dataset, shots=1, seed=seed).train[0] < 4 for seed in SEEDS)


def test_groups_stay_whole_and_both_parts_have_objects() -> None:
    groups: list[str | None] = [f"g{i // 3}" for i in range(60)]
    dataset = data([{1}] * 22 + [set()] * 38, groups)
    for seed in SEEDS:
        parts = split(dataset, seed=seed)
        assert not {groups[i] for i in parts.train} & {groups[i] for i in parts.val}
        assert min(parts.val) < 22
        assert min(parts.train) < 22


def test_classes_are_in_both_parts_among_empty_images_too() -> None:
    dataset = data([{1}] * 10 + [{2}] * 2 + [set()] * 40)
    for seed in SEEDS:
        parts = split(dataset, seed=seed)
        for part in (parts.train, parts.val):
            assert any(index in (10, 11) for index in part)
            assert any(index < 10 for index in part)
            assert any(index >= 12 for index in part)


def test_the_warning_comes_where_validation_cannot_decide() -> None:
    dataset = data([{1}] * 2 + [set()] * 4)
    assert undecided_notes(dataset, ()) == []
    assert undecided_notes(dataset, (0,)) == []
    assert undecided_notes(dataset, (0, 1, 2)) == []
    (none,) = undecided_notes(dataset, (3, 4))
    assert "2 validation images can hardly decide which step to keep: none of them has an object. Annotate" in none
    (one,) = undecided_notes(dataset, (1, 4))
    assert "only 1 of them has an object" in one
    named = data([{1}] * 3 + [set()] * 2, parts=["train"] * 3 + ["val"] * 2)
    assert any("can hardly decide" in note for note in split(named).notes)


def test_the_queue_gives_each_part_its_kind_and_keeps_the_order() -> None:
    dataset = data([{1}, set(), {1}, set()])
    queue = PresenceQueue(dataset, [[3], [2], [1], [0]])
    assert queue.next_for("val") == [2]
    assert queue.take("train") == [2]
    assert queue.take("train") == [3]
    assert queue.rest() == [[1], [0]]
    assert [queue.take("val"), queue.take("val")] == [[0], [1]]
    assert not queue
