"""Masks without any object: their classes are those of the options, to score and not to train."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from samtune.data import DataOptions, open_dataset
from samtune.errors import DataError
from tests.data.folders import disc, make_folder

D = disc()
WHITE = np.uint8(255)
RED_GREEN = {"road": (255, 0, 0), "tree": (0, 255, 0)}
EMPTY: dict[str, tuple[np.ndarray, DataOptions, tuple[str, ...]]] = {
    "one class": (D * np.uint8(0), DataOptions(class_names=("cell",)), ("cell",)),
    "one class, counted": (D * np.uint8(0), DataOptions(num_classes=1), ("foreground",)),
    "three classes": (D * np.uint8(0), DataOptions(class_names=("a", "b", "c")), ("a", "b", "c")),
    "ids": (D * np.uint8(0), DataOptions(ids=(10, 20, 200)), ("class_1", "class_2", "class_3")),
    "black RGB": (np.zeros((24, 32, 3), np.uint8), DataOptions(class_names=("cell",)), ("cell",)),
    "black RGB with a map": (np.zeros((24, 32, 3), np.uint8), DataOptions(colours=RED_GREEN), ("road", "tree")),
    "16 bit": (D.astype(np.uint16) * np.uint16(0), DataOptions(class_names=("cell",)), ("cell",)),
    "ignored pixels": (
        np.where(np.arange(24)[:, None] < 2, WHITE, D * np.uint8(0)),
        DataOptions(class_names=("cell",), ignore_label=255), ("cell",),
    ),
    "on 1": (D * np.uint8(0) + np.uint8(1), DataOptions(background=(1,), class_names=("cell",)), ("cell",)),
    "objects": (D.astype(np.uint16) * np.uint16(0), DataOptions(instances=True, class_names=("cell",)), ("cell",)),
}  # fmt: skip


@pytest.mark.parametrize("name", EMPTY)
def test_masks_without_any_object_are_opened_to_score_and_not_to_train(name: str, tmp_path: Path) -> None:
    mask, options, class_names = EMPTY[name]
    folders = make_folder(tmp_path, [mask, mask])
    dataset = open_dataset(*folders, options, allow_empty=True)
    assert dataset.class_names == class_names
    assert set(np.unique(dataset.labels(1))) <= {0, 255}
    assert int(dataset.label_counts[:, 1:-1].sum()) == 0
    assert int(dataset.label_counts[:, -1].sum()) == 2 * int((dataset.labels(0) == 255).sum())
    assert any("No mask has any object" in note for note in dataset.notes)
    with pytest.raises(DataError):
        open_dataset(*folders, options)


def test_the_classes_of_empty_masks_must_be_stated(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="all masks are empty"):
        open_dataset(*make_folder(tmp_path, [D * np.uint8(0)]), allow_empty=True)


def test_a_threshold_above_all_values_leaves_nothing_to_train_on(tmp_path: Path) -> None:
    folders = make_folder(tmp_path, [D * np.uint8(100)])
    options = DataOptions(threshold=200, class_names=("cell",))
    with pytest.raises(DataError, match=r"no mask has any object \(masks are read by a threshold"):
        open_dataset(*folders, options)
    assert open_dataset(*folders, options, allow_empty=True).label_counts.tolist() == [[24 * 32, 0, 0]]
