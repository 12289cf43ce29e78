"""Many ids that differ from image to image are objects; few ids are classes, with a note where they may be objects."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from samtune.data import DataOptions
from tests.data.drawn import assert_reads, cells, open_masks


@pytest.mark.parametrize("factor", [1, 100_003])
def test_ids_that_may_be_objects_are_reported(factor: int, tmp_path: Path) -> None:
    """The same few ids in each mask, each in one piece: organs, or two objects; the note names the option."""
    masks = [np.kron(np.array([[0, 1, 0], [2, 0, 3]]), np.ones((16, 16), int)) * factor for _ in range(3)]
    masks = [mask.astype(np.uint32 if factor > 1 else np.uint8) for mask in masks]
    dataset = open_masks(tmp_path, masks, suffix=".tif")
    assert dataset.num_classes == 3
    assert any("one connected piece in every mask" in note and "--instances" in note for note in dataset.notes)
    named = open_masks(tmp_path / "named", masks, DataOptions(class_names=("a", "b", "c")), suffix=".tif")
    assert not any("one connected piece" in note for note in named.notes)


def test_classes_in_several_pieces_are_not_reported_as_objects(tmp_path: Path) -> None:
    masks = [np.kron(np.array([[1, 0, 1], [2, 0, 2]], np.uint8), np.ones((16, 16), np.uint8)) for _ in range(3)]
    dataset = open_masks(tmp_path, masks)
    assert not any("one connected piece" in note for note in dataset.notes)


@pytest.mark.parametrize(
    ("num", "radius", "dtype"),
    [(120, 3, np.uint8), (30, 8, np.uint8), (150, 4, np.uint16), (300, 2, np.uint16), (400, 5, np.uint16)],
)
def test_many_objects_stay_objects(num: int, radius: int, dtype: type, tmp_path: Path) -> None:
    masks = [cells(seed, num - 10 * seed, radius) for seed in range(3)]
    dataset = open_masks(tmp_path, [mask.astype(dtype) for mask in masks])
    assert dataset.encoding.kind == "instances"
    assert_reads(dataset, [(mask > 0).astype(np.uint8) for mask in masks], 1)
    np.testing.assert_array_equal(dataset.objects(0), masks[0])
