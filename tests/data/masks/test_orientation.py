"""Masks of EXIF-rotated images: orientation from sizes, from the rest of the folder or from an option, or refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from samtune.data import DataOptions, inspect, open_dataset
from samtune.data.images.raw import upright
from samtune.data.mending import mend
from samtune.errors import DataError
from tests.data.folders import picture, save

SQUARE, WIDE = (24, 24), (24, 32)


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


def corner(hw: tuple[int, int]) -> np.ndarray:
    """0/255: an object that every turn and mirror moves."""
    mask = np.zeros(hw, np.uint8)
    mask[2:6, 3:14] = 255
    return mask


def pair(root: Path, stem: str, hw: tuple[int, int], orientation: int, *, turn_mask: bool, **how: object) -> np.ndarray:
    """An image stored with an orientation and its mask; returns the label map that fits the image as shown."""
    stored = corner(hw)
    shown = upright(stored, orientation)
    save(root / "images" / f"{stem}.png", picture(ord(stem[0]), hw), exif=exif(orientation))
    save(root / "masks" / f"{stem}.png", shown if turn_mask else stored, **how)
    return shown // 255


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("hw", [SQUARE, WIDE])
def test_an_orientation_that_sizes_leave_open_is_refused_and_both_options_work(
    orientation: int, hw: tuple[int, int], tmp_path: Path
) -> None:
    shown = pair(tmp_path, "a", hw, orientation, turn_mask=False)
    images, masks = tmp_path / "images", tmp_path / "masks"
    size_tells = hw == WIDE and orientation >= 5
    with pytest.raises(DataError, match="--drawn-on stored"):
        open_dataset(images, masks)
    kinds = {problem.kind for problem in inspect(images, masks).problems if problem.stops_training}
    assert kinds == {"size_differs" if size_tells else "turned_image"}
    stored = open_dataset(images, masks, DataOptions(drawn_on="stored"))
    np.testing.assert_array_equal(stored.labels(0), shown)
    assert stored.labels(0).shape == stored.image(0).shape[:2]
    assert any("drawn on images as stored" in note for note in stored.notes)
    if not size_tells:
        as_shown = open_dataset(images, masks, DataOptions(drawn_on="shown"))
        np.testing.assert_array_equal(as_shown.labels(0), corner(hw) // 255)


@pytest.mark.parametrize("orientation", [3, 6])
def test_a_mask_of_its_own_orientation_is_turned_by_it(orientation: int, tmp_path: Path) -> None:
    shown = pair(tmp_path, "a", SQUARE, orientation, turn_mask=False, exif=exif(orientation))
    dataset = open_dataset(tmp_path / "images", tmp_path / "masks")
    np.testing.assert_array_equal(dataset.labels(0), shown)


def test_masks_of_one_value_are_the_same_either_way(tmp_path: Path) -> None:
    save(tmp_path / "images" / "a.png", picture(0, SQUARE))
    save(tmp_path / "masks" / "a.png", corner(SQUARE))
    save(tmp_path / "images" / "b.png", picture(1, SQUARE), exif=exif(6))
    save(tmp_path / "masks" / "b.png", corner(SQUARE) * np.uint8(0))
    assert len(open_dataset(tmp_path / "images", tmp_path / "masks")) == 2


def test_square_images_follow_the_others_of_the_folder(tmp_path: Path) -> None:
    shown = [
        pair(tmp_path, "a", WIDE, 6, turn_mask=True),
        pair(tmp_path, "b", SQUARE, 6, turn_mask=True),
        pair(tmp_path, "c", WIDE, 3, turn_mask=True),
        pair(tmp_path, "d", WIDE, 1, turn_mask=True),
    ]
    dataset = open_dataset(tmp_path / "images", tmp_path / "masks")
    for index, expected in enumerate(shown):
        np.testing.assert_array_equal(dataset.labels(index), expected)
    assert any("EXIF rotates 2 image(s) without changing their size" in note for note in dataset.notes)
    # A further folder of squares alone is read like this one.
    other = tmp_path / "other"
    expected = pair(other, "b", SQUARE, 6, turn_mask=True)
    again = open_dataset(other / "images", other / "masks", dataset.options)
    np.testing.assert_array_equal(again.labels(0), expected)


def test_a_folder_of_masks_drawn_as_stored_needs_the_option(tmp_path: Path) -> None:
    shown = [pair(tmp_path, "a", WIDE, 6, turn_mask=False), pair(tmp_path, "b", SQUARE, 8, turn_mask=False)]
    images, masks = tmp_path / "images", tmp_path / "masks"
    with pytest.raises(DataError, match="2 problems"):
        open_dataset(images, masks)
    dataset = open_dataset(images, masks, DataOptions(drawn_on="stored"))
    for index, expected in enumerate(shown):
        np.testing.assert_array_equal(dataset.labels(index), expected)
    assert dataset.options.drawn_on == "stored"


def test_an_option_that_the_sizes_contradict_is_refused(tmp_path: Path) -> None:
    pair(tmp_path, "a", WIDE, 6, turn_mask=True)
    with pytest.raises(DataError, match="with `--drawn-on stored`, expected 24 x 32"):
        open_dataset(tmp_path / "images", tmp_path / "masks", DataOptions(drawn_on="stored"))
    other = tmp_path / "other"
    pair(other, "a", WIDE, 6, turn_mask=False)
    with pytest.raises(DataError, match="drawn before the image's EXIF rotation"):
        open_dataset(other / "images", other / "masks", DataOptions(drawn_on="shown"))


def test_mending_needs_the_option_too(tmp_path: Path) -> None:
    shown = pair(tmp_path, "a", SQUARE, 6, turn_mask=False)
    images, masks = tmp_path / "images", tmp_path / "masks"
    with pytest.raises(DataError, match="--drawn-on"):
        mend(images, masks, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    mend(images, masks, tmp_path / "out", DataOptions(drawn_on="stored"))
    dataset = open_dataset(tmp_path / "out" / "images", tmp_path / "out" / "masks")
    np.testing.assert_array_equal(dataset.labels(0), shown)


def test_objects_are_turned_as_well(tmp_path: Path) -> None:
    save(tmp_path / "images" / "a.png", picture(0, SQUARE), exif=exif(6))
    ids = np.zeros(SQUARE, np.uint16)
    for number in range(6):
        ids[number * 4 : number * 4 + 3, 2 : 5 + number] = number + 1
    save(tmp_path / "masks" / "a.png", ids)
    options = DataOptions(instances=True, drawn_on="stored")
    dataset = open_dataset(tmp_path / "images", tmp_path / "masks", options)
    objects = dataset.objects(0)
    assert objects is not None
    np.testing.assert_array_equal(objects, upright(ids, 6))
