"""An encoding reads further files of its folder, and arrays of values, and refuses values that it does not define."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from samtune.data import open_dataset
from samtune.data.masks import MaskEncoding
from samtune.errors import DataError
from samtune.types import IGNORE
from tests.data.folders import disc, make_folder, save

D = disc()
HALF = np.where(np.arange(32) < 16, 1, 2).astype(np.uint8) * D


def test_further_folder_is_read_with_the_same_classes(tmp_path: Path) -> None:
    first = open_dataset(*make_folder(tmp_path / "a", [np.array([0, 3, 7], np.uint8)[HALF]]))
    further = open_dataset(*make_folder(tmp_path / "b", [D * np.uint8(7)]), first.options)
    np.testing.assert_array_equal(further.labels(0), D * 2)
    assert further.class_names == ("class_3", "class_7")


def test_a_mask_changed_after_opening_is_refused(tmp_path: Path) -> None:
    dataset = open_dataset(*make_folder(tmp_path, [HALF]))
    save(tmp_path / "masks" / "0.png", D * np.uint8(9))
    with pytest.raises(DataError, match=r"0\.png.*got 9;"):
        dataset.labels(0)


def test_arrays_of_values_are_read_like_files() -> None:
    encoding = MaskEncoding("ids", "value", ((3, 1), (7, 2), (-1, IGNORE)), None, 2, "ids with gaps")
    for dtype in (np.int16, np.int64):
        values = np.array([[0, 3, 7], [-1, 7, 0]], dtype)
        labels = encoding.label_map(values, "record 5")
        assert labels.dtype == np.uint8
        np.testing.assert_array_equal(labels, [[0, 1, 2], [IGNORE, 2, 0]])
    np.testing.assert_array_equal(encoding.label_map(np.array([[7, 0]], np.uint8), "record 5"), [[2, 0]])
    with pytest.raises(DataError, match=r"record 5: expected the values -1, 0, 3, 7 .*, got 4, 9;"):
        encoding.label_map(np.array([[4, 9, 3]]), "record 5")
