"""Which images test, which are grouped, which are suggested."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from samtune.compare.draws import draw_support, draw_test
from samtune.compare.groups import image_groups, units_of
from samtune.compare.suggest import Candidate, disagreement, pick
from samtune.data import Dataset, open_dataset
from samtune.errors import DataError
from tests.data.folders import disc, make_folder, picture, save


def opened(folder: Path, num: int, *, groups: list[str] | None = None, splits: list[str] | None = None) -> Dataset:
    """Discs of growing size, named by a manifest where groups or splits are given."""
    make_folder(folder, [disc((48, 64), radius=3 + i) * np.uint8(255) for i in range(num)])
    with (folder / "data.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["image", "mask", "group", "split"])
        for i in range(num):
            group, split = (groups or [""] * num)[i], (splits or [""] * num)[i]
            writer.writerow([f"images/{i}.png", f"masks/{i}.png", group, split])
    return open_dataset(folder / "data.csv")


def test_test_images_are_the_same_for_all_and_no_draw_meets_them(tmp_path: Path) -> None:
    dataset = opened(tmp_path, 20)
    draws = draw_test(dataset, num_test=None, max_shots=8, num_seeds=3)
    assert len(draws.test) == 10
    assert set(draws.test) | set(draws.pool) == set(range(20))
    assert not set(draws.test) & set(draws.pool)
    assert draws == draw_test(dataset, num_test=None, max_shots=8, num_seeds=3)
    assert any("come from only 10" in note for note in draws.notes)
    few = draw_test(dataset, num_test=None, max_shots=4, num_seeds=3)
    assert few.test == draws.test
    assert not any("come from only" in note for note in few.notes)
    for seed in range(3):
        small, large = (draw_support(dataset, draws.pool, shots=n, val=0.25, seed=seed) for n in (4, 8))
        assert set(small.train) <= set(large.train)
        assert set(small.val) <= set(large.val)
    many = draw_test(dataset, num_test=15, max_shots=12, num_seeds=1)
    assert len(many.test) == 8
    assert any("15 test images were asked for" in note for note in many.notes)
    with pytest.raises(DataError, match="need 21 images"):
        draw_test(dataset, num_test=None, max_shots=20, num_seeds=1)


def test_groups_and_copies_stay_on_one_side(tmp_path: Path) -> None:
    dataset = opened(tmp_path, 18, groups=[f"patient {i // 3}" for i in range(12)] + [""] * 6)
    save(tmp_path / "images" / "17.png", picture(12, (48, 64)))  # a copy of image 12
    dataset = open_dataset(tmp_path / "data.csv")
    draws = draw_test(dataset, num_test=9, max_shots=3, num_seeds=1)
    test = set(draws.test)
    for group in range(4):
        members = {i for i, pair in enumerate(dataset.pairs) if pair.group == f"patient {group}"}
        assert members <= test or not members & test
    names = {dataset.pairs[i].stem for i in test}
    assert len(names & {"12", "17"}) in (0, 2)
    assert any("copies" in note for note in draws.notes)
    with pytest.raises(DataError, match="hang together"):
        draw_test(opened(tmp_path / "one", 6, groups=["a"] * 6), num_test=None, max_shots=4, num_seeds=1)


def test_a_named_test_split_is_taken_at_its_word(tmp_path: Path) -> None:
    dataset = opened(tmp_path, 8, splits=["test"] * 3 + ["train"] * 4 + ["val"])
    draws = draw_test(dataset, num_test=1, max_shots=4, num_seeds=1)
    assert [dataset.pairs[i].stem for i in draws.test] == ["0", "1", "2"]
    support = draw_support(dataset, draws.pool, shots=4, val=0.25, seed=0)
    assert [dataset.pairs[draws.pool[i]].stem for i in support.val] == ["7"]
    save(tmp_path / "images" / "0.png", picture(5, (48, 64)))
    copied = draw_test(open_dataset(tmp_path / "data.csv"), num_test=None, max_shots=4, num_seeds=1)
    assert any("1 test image(s) have a copy" in note for note in copied.notes)


def test_groups_by_size_and_by_manifest(tmp_path: Path) -> None:
    dataset = opened(tmp_path, 12, groups=["left"] * 6 + ["right"] * 6)
    groups, why = image_groups(dataset, range(12))
    assert [group.name for group in groups[:2]] == ["group left", "group right"]
    names = [group.name.split(" (")[0] for group in groups[2:]]
    assert names == ["smallest objects", "middle objects", "largest objects"]
    assert sorted(place for group in groups[2:] for place in group.places) == list(range(12))
    assert why == ()
    sides = [dataset.pairs[i].group == "right" for i in range(12)]
    assert units_of(dataset, range(12)) == tuple(map(int, sides))
    alone = opened(tmp_path / "b", 4)
    groups, why = image_groups(alone, range(4))
    assert groups == ()
    assert why[0] == "The data names no groups of images"
    assert "no groups by size" in why[1]
    assert units_of(alone, range(4)) is None
    patients = opened(tmp_path / "c", 10, groups=[f"p{i // 2}" for i in range(10)])
    _, why = image_groups(patients, range(10))
    assert "5 groups among the test images, most of 2" in why[0]


def test_images_without_object_are_a_group(tmp_path: Path) -> None:
    masks = [disc((48, 64), radius=3 + i) * np.uint8(255) for i in range(9)] + [np.zeros((48, 64), np.uint8)] * 3
    dataset = open_dataset(*make_folder(tmp_path, masks))
    groups, _ = image_groups(dataset, range(len(dataset)))
    assert groups[-1].name == "images without object"
    assert len(groups[-1].places) == 3


def test_disagreement_is_a_share_and_specks_are_none() -> None:
    empty, half = np.zeros((100, 100), np.uint8), np.zeros((100, 100), np.uint8)
    half[:50] = 1
    other = np.roll(half, 50, 0)
    speck = empty.copy()
    speck[0, 0] = 1
    assert disagreement(half, half) == disagreement(empty, empty) == 0
    assert disagreement(half, other) > 0.99
    assert disagreement(empty, speck) < 0.1
    assert disagreement(empty, half) > 0.99
    assert disagreement(half, half * np.uint8(2)) > 0.99
    shifted = np.roll(half, 5, 0)
    assert 0 < disagreement(half, shifted) == disagreement(shifted, half) < 0.2


def test_the_next_images_are_uncertain_and_different() -> None:
    def candidate(name: str, score: float, angle: float) -> Candidate:
        return Candidate(Path(name), score, np.array([np.cos(angle), np.sin(angle)], np.float32))

    pool = [
        candidate("worst", 0.9, 0.0), candidate("its copy", 0.89, 0.0), candidate("nearly it", 0.88, 0.03),
        candidate("other", 0.6, 1.0), candidate("easy", 0.05, 2.0),
    ]  # fmt: skip
    names = [item.file.name for item in pick(pool, 3)]
    assert names == ["worst", "other", "easy"]
    assert [item.file.name for item in pick(pool, 1)] == ["worst"]
    everything = [item.file.name for item in pick(pool, 10)]
    assert "its copy" not in everything
    assert len(everything) == 4
    assert pick([candidate("alone", 0.0, 0.0)], 2)[0].novelty == 1
