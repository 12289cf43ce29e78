"""Files per object, outlines and grey levels are converted to masks, once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from samtune.data import open_dataset
from tests.data.folders import save
from tests.data.public_sets.trees import HW, Build, dsb, emps, livecell, organoids, pascal_s


@pytest.mark.parametrize(("name", "build"), [("organoid_basic", organoids), ("emps", emps), ("dsb2018", dsb)])
def test_objects_keep_their_ids(name: str, build: Build, tmp_path: Path) -> None:
    build(tmp_path)
    dataset = open_dataset(f"{name}:{tmp_path}")
    for index in range(len(dataset)):
        ids = dataset.objects(index)
        assert ids is not None
        assert sorted(np.unique(ids, return_counts=True)[1][1:].tolist()) == [30, 64, 64]
        assert set(np.unique(dataset.labels(index)).tolist()) == {0, 1}


def test_coco_outlines_and_runs_are_drawn(tmp_path: Path) -> None:
    livecell(tmp_path)
    dataset = open_dataset(f"livecell:{tmp_path}")
    ids = dataset.objects(0)
    assert ids is not None
    expected = np.zeros(HW, int)
    expected[4:12, 4:12], expected[4:12, 12] = 1, 2
    np.testing.assert_array_equal(ids, expected)
    assert any("gone.tif" in note for note in dataset.notes)


def test_coco_files_may_be_in_a_folder_of_annotations(tmp_path: Path) -> None:
    livecell(tmp_path)
    (tmp_path / "annotations" / "LIVECell").mkdir(parents=True)
    for file in tmp_path.glob("*.json"):
        file.rename(tmp_path / "annotations" / "LIVECell" / file.name)
    assert [pair.split for pair in open_dataset(f"livecell:{tmp_path}").pairs] == ["train", "val", "test"]


def test_merged_masks_are_cached_until_a_file_changes(tmp_path: Path) -> None:
    dsb(tmp_path)
    first = open_dataset(f"dsb2018:{tmp_path}")
    file = first.pairs[0].mask
    stamp = file.stat().st_mtime_ns
    assert open_dataset(f"dsb2018:{tmp_path}").pairs[0].mask.stat().st_mtime_ns == stamp
    save(tmp_path / "stage1_train" / "00ae" / "masks" / "new.png", np.full(HW, 255, np.uint8))
    changed = open_dataset(f"dsb2018:{tmp_path}")
    assert changed.pairs[0].mask != file
    assert changed.labels(0).all()


def test_grey_levels_of_pascal_s_are_thresholded_at_one_half(tmp_path: Path) -> None:
    pascal_s(tmp_path)
    dataset = open_dataset(f"pascal_s:{tmp_path}")
    levels = np.asarray(Image.open(tmp_path / "PASCAL-S/Imgs/2.png"))
    np.testing.assert_array_equal(dataset.labels(1), (levels > 127).astype(np.uint8))
