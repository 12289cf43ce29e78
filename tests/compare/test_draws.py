"""Which images test, and which the cells learn from."""

from __future__ import annotations

from pathlib import Path

import pytest

from samtune.compare.draws import draw_support, draw_test
from samtune.data import open_dataset
from samtune.errors import DataError
from tests.compare.discs import opened
from tests.data.folders import picture, save


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
    assert any("15 were requested" in note for note in many.notes)
    with pytest.raises(DataError, match="at least 21 images"):
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
    with pytest.raises(DataError, match="got 6 in the smallest"):
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
