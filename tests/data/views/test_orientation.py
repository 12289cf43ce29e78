"""Whether masks tell up from down: on drawn maps, by brute force, and on the real sets."""

from __future__ import annotations

import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from samtune.data import DataOptions, open_dataset, split
from samtune.data.views.orientation import class_planes, find_orientation, orientation_of

Maps = list[NDArray[np.uint8]]


def scenes(number: int, seed: int = 0) -> Maps:
    """Ground (1) at the bottom, its height and its slope drawn; a box (2) somewhere on it."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(number):
        height, width = int(rng.integers(60, 90)), int(rng.integers(60, 120))
        rows, columns = np.mgrid[:height, :width]
        labels = (rows > height * rng.uniform(0.5, 0.8) + columns * rng.uniform(-0.1, 0.1)).astype(np.uint8)
        top, left = int(height * rng.uniform(0.3, 0.6)), int(rng.integers(0, width - 20))
        labels[top : top + 15, left : left + 20] = 2
        found.append(labels)
    return found


def spots(number: int, seed: int = 0) -> Maps:
    """Discs anywhere."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(number):
        labels = np.zeros((80, 80), np.uint8)
        for _ in range(5):
            x, y = (int(value) for value in rng.integers(5, 75, 2))
            cv2.circle(labels, (x, y), 8, 1, -1)
        found.append(labels)
    return found


def planes(maps: Maps, num_classes: int = 2) -> NDArray[np.float32]:
    return np.stack([class_planes(labels, num_classes) for labels in maps])


def test_what_stands_upright_is_found_and_what_lies_anyhow_is_not() -> None:
    assert orientation_of(planes(scenes(12))).upright
    upside_down = [np.ascontiguousarray(labels[::-1]) for labels in scenes(12)]
    assert orientation_of(planes(upside_down)).upright  # all of them the same way round
    mixed = [np.ascontiguousarray(labels[:: (-1) ** i]) for i, labels in enumerate(scenes(12))]
    assert not orientation_of(planes(mixed)).upright
    found = [orientation_of(planes(spots(12, seed), 1)).upright for seed in range(40)]
    assert sum(found) <= 3


def test_mirroring_some_of_the_scenes_changes_nothing() -> None:
    mirrored = [np.ascontiguousarray(labels[:, :: (-1) ** i]) for i, labels in enumerate(scenes(12))]
    assert orientation_of(planes(mirrored)).upright


def test_the_gap_and_the_chance_are_those_of_the_definition() -> None:
    maps = planes(scenes(5, seed=3) + spots(4, seed=1))
    gaps = []
    for i, image in enumerate(maps):
        rest = np.concatenate([maps[:i], maps[i + 1 :]])
        others = np.concatenate([rest, rest[..., ::-1]]).mean(0)
        centred = [x - x.mean((1, 2), keepdims=True) for x in (image, image[:, ::-1], others)]
        straight, turned = (np.corrcoef(x.ravel(), centred[2].ravel())[0, 1] for x in centred[:2])
        gaps.append(straight - turned)
    found = orientation_of(maps)
    assert found.num_images == 9
    assert found.mean_difference == pytest.approx(np.mean(gaps), abs=1e-5)
    signed = [sum(s * g for s, g in zip(signs, gaps, strict=True)) for signs in itertools.product((-1, 1), repeat=9)]
    assert found.p_value == pytest.approx(np.mean([value >= sum(gaps) - 1e-9 for value in signed]))


def test_few_images_many_images_and_nothing_to_compare() -> None:
    assert not orientation_of(planes(scenes(6))).upright
    assert orientation_of(planes(scenes(7))).upright
    many = orientation_of(planes(scenes(40)))
    assert many.upright
    assert many.p_value == pytest.approx(1e-4)  # of the drawn signs only those that were seen
    empty = orientation_of(planes([np.zeros((20, 30), np.uint8)] * 9, 1))
    assert (empty.num_images, empty.mean_difference, empty.p_value, empty.upright) == (0, 0.0, 1.0, False)
    alone = orientation_of(planes(scenes(1)))
    assert not alone.upright


def test_ignored_pixels_are_of_no_class() -> None:
    labels = np.full((48, 48), 255, np.uint8)
    assert not class_planes(labels, 2).any()
    labels[:24] = 1
    assert class_planes(labels, 2).sum((1, 2)).tolist() == [0, 288, 0]


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "upright"),
    [("weizmann_horses", True), ("camvid_street", True), ("isbi2012_em", True), ("dsb2018_nuclei", False),
     ("kvasir_seg", False), ("crackforest", False), ("rice_leaf_disease", False), ("epfl_roads", False)],
)  # fmt: skip
def test_real_sets(real_sets: Path, name: str, upright: bool) -> None:
    options = DataOptions(ids=tuple(range(1, 11)), ignore_label=11) if name == "camvid_street" else None
    dataset = open_dataset(real_sets / name / "images", real_sets / name / "masks", options)
    parts = split(dataset, shots=24, val=0.25, seed=0)
    assert find_orientation(dataset, parts.train + parts.val).upright is upright
