"""Folders of images and masks of every layout -> pairs, or the sentence that refuses them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from samtune.data import find_pairs, open_dataset
from samtune.errors import DataError
from tests.data.folders import binary_folder, disc, picture, save

WHITE = np.uint8(255)

IN_ONE: dict[str, tuple[str, str]] = {
    # name: files below one folder, pairs (or the words of the refusal)
    "a_mask beside a": ("a.png|a_mask.png|b.jpg|b_mask.png", "a.png=a_mask.png|b.jpg=b_mask.png"),
    "image_ and mask_ side by side": ("image_0.png|mask_0.png|image_1.png|mask_1.png",
        "image_0.png=mask_0.png|image_1.png=mask_1.png"),
    "objects side by side": ("a.png|a_mask.png|a_mask_1.png", "a.png=joined"),
    "images called objects": ("object_1.png|object_1_mask.png", "object_1.png=object_1_mask.png"),
    "a folder per sample": ("x/image.png|x/mask.png|y/image.png|y/mask.png",
        "x/image.png=x/mask.png|y/image.png=y/mask.png"),
    "Images and Labels": ("Images/a.png|Labels/a.png", "Images/a.png=Labels/a.png"),
    "imgs and gt": ("imgs/a.png|gt/a.png", "imgs/a.png=gt/a.png"),
    "nnU-Net": ("imagesTr/a_0000.png|labelsTr/a.png|imagesTs/b_0000.png|labelsTs/b.png",
        "imagesTr/a_0000.png=labelsTr/a.png|imagesTs/b_0000.png=labelsTs/b.png"),
    "train and val": ("train/images/a.png|train/masks/a.png|val/images/a.png|val/masks/a.png",
        "train/images/a.png=train/masks/a.png|val/images/a.png=val/masks/a.png"),
    "endings alone": ("a.jpg|a.png|b.jpg|b.png", "!expected images/ and masks/"),
    "a folder per image, DSB": ("p/images/p.png|p/masks/1.png|q/images/q.png|q/masks/1.png", "!dsb2018:"),
    "no masks": ("a.png|b.png", "!2 image files, named like `\\*.png`"),
}  # fmt: skip


@pytest.mark.parametrize("name", IN_ONE)
def test_one_folder_for_both(name: str, tmp_path: Path) -> None:
    files, expected = IN_ONE[name]
    for number, file in enumerate(files.split("|")):
        is_mask = any(word in file for word in ("mask", "Labels", "labels", "gt"))
        save(tmp_path / file, disc(shift=number) * WHITE if is_mask else picture(number))
    if expected.startswith("!"):
        with pytest.raises(DataError, match=expected[1:]):
            find_pairs(tmp_path)
        return
    records = find_pairs(tmp_path)
    inside = {str(pair.mask): pair.mask.is_relative_to(tmp_path) for pair in records.pairs}
    lines = [
        f"{pair.image.relative_to(tmp_path).as_posix()}="
        + (pair.mask.relative_to(tmp_path).as_posix() if inside[str(pair.mask)] else "joined")
        for pair in records.pairs
    ]
    assert "|".join(sorted(lines)) == expected
    assert not [problem for problem in records.problems if problem.stops_training]


def test_suffixes_endings_and_other_files(tmp_path: Path) -> None:
    for index, name in enumerate(("a_mask.png", "b_masks.tif", "c_label.bmp", "d.png")):
        save(tmp_path / "images" / f"{name[0]}.jpg", picture(index))
        save(tmp_path / "masks" / name, disc())
    (tmp_path / "images" / "Thumbs.db").write_text("x")
    (tmp_path / "images" / ".DS_Store").write_text("x")
    (tmp_path / "masks" / "notes.csv").write_text("x")
    save(tmp_path / "images" / "lonely.png", picture(9))
    records = find_pairs(tmp_path / "images", tmp_path / "masks")
    assert [pair.stem for pair in records.pairs] == ["a", "b", "c", "d"]
    assert any("notes.csv" in note for note in records.notes)
    assert not any("Thumbs" in note for note in records.notes)
    assert [problem.kind for problem in records.problems] == ["unpaired"]
    assert any("lonely" in note for note in records.notes)


def test_sub_folders_side_by_side_and_one_root(tmp_path: Path) -> None:
    for part, stem in (("x", "a"), ("y", "a"), ("y", "b")):
        save(tmp_path / "deep" / "images" / part / f"{stem}.png", picture())
        save(tmp_path / "deep" / "masks" / part / f"{stem}.png", disc())
    assert [pair.stem for pair in find_pairs(tmp_path / "deep").pairs] == ["x/a", "y/a", "y/b"]
    save(tmp_path / "flat" / "a.jpg", picture())
    save(tmp_path / "flat" / "a_mask.png", disc())
    for masks in (None, tmp_path / "flat"):
        pairs = find_pairs(tmp_path / "flat", masks).pairs
        assert [(pair.stem, pair.mask.name) for pair in pairs] == [("a", "a_mask.png")]
    save(tmp_path / "other" / "sub" / "k.png", picture())
    save(tmp_path / "masks" / "k.png", disc())
    assert [pair.stem for pair in find_pairs(tmp_path / "other", tmp_path / "masks").pairs] == ["k"]


@pytest.mark.parametrize("inner", [True, False])
def test_split_layouts(inner: bool, tmp_path: Path) -> None:
    for index, part in enumerate(("train", "val", "test")):
        for kind, pixels in (("images", picture(index)), ("masks", disc())):
            path = Path(part) / kind if inner else Path(kind) / part
            save(tmp_path / path / f"{part}.png", pixels)
    pairs = find_pairs(tmp_path).pairs if inner else find_pairs(tmp_path / "images", tmp_path / "masks").pairs
    assert {(pair.stem, pair.split) for pair in pairs} == {
        ("train", "train"),
        ("val", "val"),
        ("test", "test"),
    }


def test_missing_folders_and_no_pairs(tmp_path: Path) -> None:
    images, masks = binary_folder(tmp_path, 2)
    with pytest.raises(DataError, match="no such file or folder"):
        open_dataset(images, tmp_path / "absent")
    with pytest.raises(DataError, match="expected images/ and masks/"):
        open_dataset(images)
    for path in list(masks.iterdir()):
        path.rename(masks / f"other{path.name}")
    with pytest.raises(DataError, match="no image has a mask of the same stem"):
        open_dataset(images, masks)
    save(masks / "0.png", disc())
    save(masks / "0_mask.png", disc())
    with pytest.raises(DataError, match="not the only mask"):
        open_dataset(images, masks)
