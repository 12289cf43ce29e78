"""Splits: seeded, disjoint, nested in the shots, groups whole, named splits kept."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from samtune.data import Dataset, open_dataset, split, split_record
from samtune.errors import ConfigError, DataError
from tests.data.folders import binary_folder


@pytest.fixture(scope="module")
def forty(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return open_dataset(*binary_folder(tmp_path_factory.mktemp("forty"), 40))


def manifest(root: Path, rows: list[tuple[str, str]]) -> Dataset:
    binary_folder(root, len(rows))
    lines = [f"images/{i}.png,masks/{i}.png,{group},{part}" for i, (group, part) in enumerate(rows)]
    (root / "m.csv").write_text("image,mask,group,split\n" + "\n".join(lines))
    return open_dataset(root / "m.csv")


def test_shots_are_counted_seeded_and_disjoint(forty: Dataset) -> None:
    parts = split(forty, shots=16, seed=3)
    assert (len(parts.train), len(parts.val), len(parts.test)) == (12, 4, 24)
    assert sorted(parts.train + parts.val + parts.test) == list(range(40))
    assert parts == split(forty, shots=16, seed=3)
    assert parts.train != split(forty, shots=16, seed=4).train
    everything = split(forty)
    assert (len(everything.train), len(everything.val), len(everything.test)) == (30, 10, 0)


def test_fewer_shots_are_a_subset_of_more(forty: Dataset) -> None:
    for seed in range(3):
        for fewer, more in ((1, 2), (2, 4), (4, 8), (8, 16), (16, 32)):
            small, large = (split(forty, shots=shots, seed=seed) for shots in (fewer, more))
            assert set(small.train) <= set(large.train)
            assert set(small.val) <= set(large.val)


def test_one_shot_and_no_validation(forty: Dataset) -> None:
    one = split(forty, shots=1)
    assert (len(one.train), len(one.val)) == (1, 0)
    assert any("no validation" in note for note in one.notes)
    assert split(forty, shots=8, val=0).val == ()
    assert len(split(forty, shots=2).val) == 1


def test_out_of_range_is_refused(forty: Dataset) -> None:
    with pytest.raises(ConfigError, match="shots"):
        split(forty, shots=0)
    with pytest.raises(ConfigError, match="val"):
        split(forty, val=1.0)
    with pytest.raises(DataError, match="41 shots"):
        split(forty, shots=41)


def test_groups_are_never_cut(tmp_path: Path) -> None:
    dataset = manifest(tmp_path, [(f"g{i // 5}", "") for i in range(40)])
    groups = np.array([pair.group for pair in dataset.pairs])
    before: set[int] = set()
    for shots in (10, 17, 25, 40):
        parts = split(dataset, shots=shots, seed=1)
        sides = [set(groups[list(part)]) for part in (parts.train, parts.val, parts.test)]
        assert sum(len(side) for side in sides) == len(set.union(*sides))
        used = set(parts.train + parts.val)
        assert shots - 5 < len(used) <= shots
        assert before <= used
        assert parts.val
        before = used
    assert any("Groups are kept whole" in note for note in split(dataset, shots=17, seed=1).notes)


def test_a_group_larger_than_the_shots(tmp_path: Path) -> None:
    parts = split(manifest(tmp_path, [("one", "")] * 10), shots=4)
    assert (len(parts.train), parts.val, parts.test) == (4, (), ())
    assert any("in no part" in note for note in parts.notes)


def test_named_splits_are_kept(tmp_path: Path) -> None:
    dataset = manifest(tmp_path, [("", "train")] * 8 + [("", "val")] * 2 + [("", "test")] * 3)
    parts = split(dataset, shots=4)
    assert len(parts.train) == 4
    assert {dataset.pairs[i].split for i in parts.train} == {"train"}
    assert {dataset.pairs[i].split for i in parts.val} == {"val"}
    assert len(parts.test) == 4 + 3
    without = split(manifest(tmp_path / "b", [("", "train")] * 8 + [("", "test")] * 3))
    assert (len(without.train), len(without.val), len(without.test)) == (6, 2, 3)


def test_a_group_in_two_named_splits_is_told(tmp_path: Path) -> None:
    parts = split(manifest(tmp_path, [("p", "train"), ("p", "val"), ("q", "train")]))
    assert any("scores may be too good" in note for note in parts.notes)


def test_record_names_stems_and_contents(forty: Dataset) -> None:
    parts = split(forty, shots=4)
    record = split_record(forty, parts)
    assert json.loads(json.dumps(record)) == record
    assert [entry["stem"] for entry in record["train"]] == [forty.pairs[i].stem for i in parts.train]
    assert record["val"][0]["content_id"] == forty.content_id(parts.val[0])
