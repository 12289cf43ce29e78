"""Every public data set is read from a tiny folder of its own shape."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from samtune.data import DataOptions, inspect, open_dataset, split
from samtune.data.public_sets import LAYOUTS, parse_set_name
from samtune.errors import DataError
from samtune.types import IGNORE
from tests.data.public_sets.trees import HW, TREES, Build, camo_bundle, istd, pairs, roads, trans10k


@pytest.mark.parametrize(("name", "build"), TREES, ids=[f"{name}-{build.__name__}" for name, build in TREES])
def test_a_layout_is_read_as_it_is_downloaded(name: str, build: Build, tmp_path: Path) -> None:
    root = tmp_path / "download"
    expected = build(root)
    if name == "cod_train":
        expected = {"train": expected[None]}
    dataset = open_dataset(f"{name}:{root}")
    assert Counter(pair.split for pair in dataset.pairs) == expected
    assert len({pair.stem for pair in dataset.pairs}) == len(dataset)
    for index in range(len(dataset)):
        labels = dataset.labels(index)
        assert labels.shape == dataset.image(index).shape[:2] == HW
        assert (labels > 0).any()
    if LAYOUTS[name].caveat:
        assert any(LAYOUTS[name].caveat in note for note in dataset.notes)
    for part in expected:
        if part is not None:
            assert {pair.split for pair in open_dataset(f"{name}/{part}:{root}").pairs} == {part}
    class_names = LAYOUTS[name].options.get("class_names")
    assert dataset.class_names == (class_names or ("foreground",))


def test_splits_reach_training(tmp_path: Path) -> None:
    roads(tmp_path)
    parts = split(open_dataset(f"mass_roads:{tmp_path}"))
    assert (len(parts.train), len(parts.val), len(parts.test)) == (2, 2, 2)


def test_files_without_a_partner_are_reported_and_left_out(tmp_path: Path) -> None:
    camo_bundle(tmp_path)
    dataset = open_dataset(f"camo/test:{tmp_path}")
    assert any("1 file(s) without a partner" in note and "stray.jpg" in note for note in dataset.notes)
    findings = inspect(f"camo/test:{tmp_path}", None)
    assert (findings.num_pairs, findings.stops_training) == (2, False)
    assert any("2 pairs here, 250 in the papers" in note for note in dataset.notes)


def test_istd_never_reads_the_images_without_shadow(tmp_path: Path) -> None:
    istd(tmp_path)
    files = [str(file) for pair in open_dataset(f"istd:{tmp_path}").pairs for file in (pair.image, pair.mask)]
    assert not any("_C" in file for file in files)


def test_trans10k_keeps_its_ids_whatever_the_palette(tmp_path: Path) -> None:
    trans10k(tmp_path)
    dataset = open_dataset(f"trans10k:{tmp_path}")
    ids = {pair.split: set(np.unique(dataset.labels(i)).tolist()) for i, pair in enumerate(dataset.pairs)}
    assert ids == {"train": {0, 11}, "val": {0, 3}, "test": {0, 1, IGNORE}}
    assert dataset.num_classes == 11
    again = open_dataset(f"trans10k/val:{tmp_path}", options=dataset.options)
    assert set(np.unique(again.labels(0)).tolist()) == {0, 3}


def test_pascal_s_may_be_repacked_in_two_folders(tmp_path: Path) -> None:
    pairs(tmp_path, "Imgs", "GT", ["1", "2"])
    assert [pair.mask.parent.parent.name for pair in open_dataset(f"pascal_s:{tmp_path}").pairs] == ["pascal_s"] * 2


def test_missing_parts_are_refused_or_reported(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder; pass the folder that DUTS"):
        open_dataset(f"duts:{tmp_path / 'gone'}")
    with pytest.raises(DataError, match=r"DUTS-TR-Image.*samtune data list"):
        open_dataset(f"duts:{tmp_path}")
    with pytest.raises(DataError, match="did you mean 'test'"):
        open_dataset(f"duts/tests:{tmp_path}")
    with pytest.raises(DataError, match="has no split"):
        open_dataset(f"emps/test:{tmp_path}")
    with pytest.raises(DataError, match="its own masks"):
        open_dataset(f"duts:{tmp_path}", tmp_path)
    pairs(tmp_path, "DUTS-TE/DUTS-TE-Image", "DUTS-TE/DUTS-TE-Mask", ["c"])
    notes = open_dataset(f"duts:{tmp_path}").notes
    assert any("parts not present: train (DUTS-TR/DUTS-TR-Image)" in note for note in notes)


def test_ordinary_paths_are_not_public_sets(tmp_path: Path) -> None:
    for path in ("images", "C:/images", "other:images", str(tmp_path)):
        assert parse_set_name(path) is None


def test_the_users_classes_take_precedence(tmp_path: Path) -> None:
    istd(tmp_path)
    dataset = open_dataset(f"istd:{tmp_path}", options=DataOptions(class_names=("dark",)))
    assert dataset.class_names == ("dark",)
    trans10k(tmp_path)
    with pytest.raises(DataError, match="colours"):
        open_dataset(f"trans10k:{tmp_path}", options=DataOptions(num_classes=2))
