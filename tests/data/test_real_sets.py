"""The eight real sets open with the right encoding."""

from __future__ import annotations

from pathlib import Path

import pytest

from samtune.data import DataOptions, open_dataset
from samtune.types import IGNORE

SETS = [
    "camvid_street", "crackforest", "dsb2018_nuclei", "epfl_roads",
    "isbi2012_em", "kvasir_seg", "rice_leaf_disease", "weizmann_horses",
]  # fmt: skip


@pytest.mark.data
@pytest.mark.parametrize("name", SETS)
def test_real_set_opens(name: str, real_sets: Path) -> None:
    folder = real_sets / name
    street = name == "camvid_street"
    dataset = open_dataset(folder / "images", folder / "masks", DataOptions(ignore_label=11) if street else None)
    assert len(dataset) == len(list((folder / "images").iterdir()))
    assert dataset.encoding.kind == ("ids" if street else "binary")
    assert dataset.num_classes == (10 if street else 1)
    assert dataset.ignore_label == (11 if street else None)
    labels = dataset.labels(0)
    assert labels.shape == dataset.image(0).shape[:2]
    assert set(labels.reshape(-1).tolist()) <= {*range(dataset.num_classes + 1), IGNORE}


@pytest.mark.data
def test_instances_of_nuclei_are_merged(real_sets: Path) -> None:
    folder = real_sets / "dsb2018_nuclei"
    dataset = open_dataset(folder / "images", folder / "instances")
    assert dataset.encoding.kind == "instances"
    binary = open_dataset(folder / "images", folder / "masks")
    assert (dataset.labels(5) == binary.labels(5)).all()
