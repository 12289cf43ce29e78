"""An opened data set: its problems, subsets and fingerprint."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from samtune.data import open_dataset
from samtune.errors import DataError
from tests.data.folders import binary_folder, disc, save


def test_problems_are_told_together_up_to_ten(tmp_path: Path) -> None:
    images, masks = binary_folder(tmp_path, 14)
    for index in range(13):
        save(masks / f"{index}.png", disc((20, 20)) * np.uint8(255))
    with pytest.raises(DataError) as caught:
        open_dataset(images, masks)
    message = str(caught.value)
    assert message.count("rows x columns") == 10
    assert "and 3 more" in message


def test_subset_and_fingerprint(tmp_path: Path) -> None:
    forty = open_dataset(*binary_folder(tmp_path, 40))
    part = forty.subset([3, 1])
    assert [pair.stem for pair in part.pairs] == [forty.pairs[3].stem, forty.pairs[1].stem]
    assert part.label_counts.shape == (2, 3)
    assert part.fingerprint() == forty.subset([1, 3]).fingerprint()
    assert part.fingerprint() != forty.subset([1, 2]).fingerprint()
    assert len(forty.subset([])) == 0
    described = json.loads(json.dumps(forty.describe()))
    assert described["num"] == 40
    assert 0 < described["foreground_share"]["foreground"] < 1
