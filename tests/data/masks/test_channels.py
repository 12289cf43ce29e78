"""Several channels or pages are never taken for one mask."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from samtune.data import DataOptions, open_dataset
from samtune.errors import DataError
from tests.data.drawn import HW, assert_reads, open_masks
from tests.data.folders import picture, save
from tests.data.masks.cases import IDS, bands, u8

CHANNELS_REFUSED: dict[str, tuple[list[np.ndarray], str, str]] = {
    "one-hot RGB": (bands(1, 2, 3), ".png", "one per class"),
    "one-hot RGB of 0 and 1": (bands(1, 2, 3, top=1), ".png", "one per class"),
    "one-hot RGBA": (bands(0, 1, 2, 3), ".png", "one per class.*np.argmax"),
    "one-hot RGBA of 0 and 1": (bands(0, 1, 2, 3, top=1), ".png", "one per class"),
    "one-hot grey and alpha": (bands(1, 2), ".png", "one per class"),
    "one-hot 16 bit": ([b.astype(np.uint16) * np.uint16(257) for b in bands(1, 2, 3)], ".tif", "one per class"),
    "one-hot float": ([b / np.float32(255) for b in bands(1, 2, 3)], ".tif", "one per class"),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANNELS_REFUSED)
def test_ambiguous_channels_are_refused(name: str, tmp_path: Path) -> None:
    masks, suffix, message = CHANNELS_REFUSED[name]
    with pytest.raises(DataError, match=message):
        open_masks(tmp_path, masks, suffix=suffix)


def test_one_hot_colours_are_read_by_a_map(tmp_path: Path) -> None:
    options = DataOptions(colours={"a": (255, 0, 0), "b": (0, 255, 0), "c": (0, 0, 255)})
    assert_reads(open_masks(tmp_path, bands(1, 2, 3), options), u8(IDS), 3)


@pytest.mark.parametrize("num", [2, 5])
@pytest.mark.parametrize("apart", [False, True])
def test_bands_of_a_tiff_are_never_one_mask(num: int, apart: bool, tmp_path: Path) -> None:
    save(tmp_path / "images" / "0.png", picture(0, HW))
    (tmp_path / "masks").mkdir()
    planes = np.stack([(IDS[0] == value) * np.uint8(255) for value in range(num)])
    stored = planes if apart else planes.transpose(1, 2, 0)
    how = "separate" if apart else "contig"
    tifffile.imwrite(tmp_path / "masks" / "0.tif", stored, photometric="minisblack", planarconfig=how)
    with pytest.raises(DataError, match="one per class"):
        open_dataset(tmp_path / "images", tmp_path / "masks")


def test_pages_of_a_mask_are_never_one_mask(tmp_path: Path) -> None:
    save(tmp_path / "images" / "0.png", picture(0, HW))
    (tmp_path / "masks").mkdir()
    pages = np.stack([(IDS[0] == value) * np.uint8(255) for value in (1, 2, 3)])
    tifffile.imwrite(tmp_path / "masks" / "0.tif", pages, photometric="minisblack")
    with pytest.raises(DataError, match=r"several pages and its image has one.*each is a class"):
        open_dataset(tmp_path / "images", tmp_path / "masks")
