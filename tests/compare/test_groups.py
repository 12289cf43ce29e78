"""Groups of test images."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from samtune.compare.groups import image_groups, units_of
from samtune.data import open_dataset
from tests.compare.discs import opened
from tests.data.folders import disc, make_folder


def test_groups_by_size_and_by_manifest(tmp_path: Path) -> None:
    dataset = opened(tmp_path, 12, groups=["left"] * 6 + ["right"] * 6)
    groups, why = image_groups(dataset, range(12))
    assert [group.name for group in groups[:2]] == ["group left", "group right"]
    names = [group.name.split(" (")[0] for group in groups[2:]]
    assert names == ["smallest objects", "middle objects", "largest objects"]
    assert sorted(index for group in groups[2:] for index in group.indices) == list(range(12))
    assert why == ()
    sides = [dataset.pairs[i].group == "right" for i in range(12)]
    assert units_of(dataset, range(12)) == tuple(map(int, sides))
    alone = opened(tmp_path / "b", 4)
    groups, why = image_groups(alone, range(4))
    assert groups == ()
    assert why[0] == "The data set names no groups of images"
    assert "No groups by object size" in why[1]
    assert units_of(alone, range(4)) is None
    patients = opened(tmp_path / "c", 10, groups=[f"p{i // 2}" for i in range(10)])
    _, why = image_groups(patients, range(10))
    assert "5 groups among the test images, most of 2" in why[0]


def test_images_without_object_are_a_group(tmp_path: Path) -> None:
    masks = [disc((48, 64), radius=3 + i) * np.uint8(255) for i in range(9)] + [np.zeros((48, 64), np.uint8)] * 3
    dataset = open_dataset(*make_folder(tmp_path, masks))
    groups, _ = image_groups(dataset, range(len(dataset)))
    assert groups[-1].name == "images without objects"
    assert len(groups[-1].indices) == 3
