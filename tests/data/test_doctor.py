"""The doctor finds every planted problem at once; its mended copy is sound."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from samtune.data import DataOptions, inspect, mend, open_dataset
from samtune.errors import DataError
from tests.data.folders import binary_folder, disc, picture, save

WHITE = np.uint8(255)


def plant(root: Path) -> tuple[Path, Path]:
    """Twelve pairs, most of them ill in one way each."""
    images, masks = binary_folder(root, 4)
    save(images / "no_mask.png", picture(20))
    save(masks / "no_image.png", disc() * WHITE)
    save(images / "sizes.png", picture(21, (48, 64)))
    save(masks / "sizes.png", disc() * WHITE)
    save(images / "shape.png", picture(22))
    save(masks / "shape.png", disc((30, 30)) * WHITE)
    save(images / "empty.png", picture(23))
    save(masks / "empty.png", disc() * np.uint8(0))
    save(images / "full.png", picture(24))
    save(masks / "full.png", disc() * np.uint8(0) + WHITE)
    whole = save(images / "cut.png", picture(25)).read_bytes()
    (images / "cut.png").write_bytes(whole[: len(whole) // 2])
    save(masks / "cut.png", disc() * WHITE)
    save(images / "copy.bmp", picture(0))
    save(masks / "copy.png", disc() * WHITE)
    near = picture(1).astype(int) + np.random.default_rng(0).integers(-3, 4, (24, 32, 3))
    save(images / "near.png", np.clip(near, 0, 255).astype(np.uint8))
    save(masks / "near.png", disc() * WHITE)
    specks = disc() * WHITE
    specks[0, 0] = specks[0, 5] = 255
    save(images / "specks.png", picture(26))
    save(masks / "specks.png", specks)
    return images, masks


def test_every_planted_problem_is_found_at_once(tmp_path: Path) -> None:
    images, masks = plant(tmp_path)
    findings = inspect(images, masks, image_size=64)
    found = {(problem.kind, Path(problem.file).name) for problem in findings.problems}
    assert found >= {
        ("unpaired", "no_mask.png"),
        ("unpaired", "no_image.png"),
        ("size_differs", "sizes.png"),
        ("size_differs", "shape.png"),
        ("empty_mask", "empty.png"),
        ("full_mask", "full.png"),
        ("unreadable", "cut.png"),
        ("duplicate", "0.png"),
        ("near_duplicate", "1.png"),
        ("small_objects", "specks.png"),
    }
    assert findings.stops_training
    assert {p.kind for p in findings.problems if p.stops_training} == {"size_differs", "unreadable"}
    specks = next(p for p in findings.problems if p.kind == "small_objects")
    assert "2 of 3 objects (67 %)" in specks.what
    assert all(problem.mend for problem in findings.problems)
    assert findings.as_json()["problems"][0]["stops_training"] is True
    assert findings.num_classes == 1


def test_a_sound_folder_has_no_problem(tmp_path: Path) -> None:
    findings = inspect(*binary_folder(tmp_path), image_size=64)
    assert findings.problems == ()
    assert findings.num_pairs == 4
    assert "0/255" in findings.notes[0]


def test_mended_copy_is_sound_and_the_original_untouched(tmp_path: Path) -> None:
    images, masks = plant(tmp_path / "ill")
    before = {path: path.read_bytes() for path in (tmp_path / "ill").rglob("*") if path.is_file()}
    out = tmp_path / "well"
    done = mend(images, masks, out)
    assert {path: path.read_bytes() for path in (tmp_path / "ill").rglob("*") if path.is_file()} == before
    assert not done.stops_training
    left_out = {Path(problem.file).name for problem in done.problems}
    assert left_out == {"no_mask.png", "no_image.png", "shape.png", "cut.png", "copy.bmp"} or left_out == {
        "no_mask.png", "no_image.png", "shape.png", "cut.png", "0.png"
    }  # fmt: skip
    findings = inspect(out)
    assert not findings.stops_training
    assert findings.num_pairs == done.num_pairs == 9
    assert {p.kind for p in findings.problems} == {"empty_mask", "full_mask", "near_duplicate"}
    dataset = open_dataset(out)
    index = [pair.stem for pair in dataset.pairs].index("sizes")
    assert dataset.labels(index).shape == (48, 64)
    for path in (out / "masks").iterdir():
        with Image.open(path) as mask:
            assert mask.mode == "L"
    with pytest.raises(DataError, match="new or empty folder"):
        mend(images, masks, out)
    with pytest.raises(DataError, match="lies within the data"):
        mend(images, masks, images / "new")


def test_mending_turns_masks_keeps_groups_and_writes_png(tmp_path: Path) -> None:
    tags = Image.Exif()
    tags[0x0112] = 6
    save(tmp_path / "images" / "a.png", picture(0), exif=tags)
    save(tmp_path / "images" / "b.tif", (picture(1)[..., 0].astype(np.uint16) * 200))
    for stem in "ab":
        save(tmp_path / "masks" / f"{stem}.png", disc(shift=3) * WHITE)
    (tmp_path / "m.csv").write_text("image,mask,group\nimages/a.png,masks/a.png,p1\nimages/b.tif,masks/b.png,p2\n")
    done = mend(tmp_path / "m.csv", None, tmp_path / "well")
    assert done.num_pairs == 2
    dataset = open_dataset(tmp_path / "well" / "pairs.csv")
    assert [pair.group for pair in dataset.pairs] == ["p1", "p2"]
    assert dataset.pairs[1].image.name == "b.png"
    np.testing.assert_array_equal(dataset.labels(0), np.rot90(disc(shift=3), -1))
    np.testing.assert_array_equal(dataset.image(0), np.rot90(picture(0), -1))


def test_duplicates_across_a_named_split(tmp_path: Path) -> None:
    for part, seed in (("train", 0), ("test", 0), ("val", 1)):
        save(tmp_path / part / "images" / f"{part}.png", picture(seed))
        save(tmp_path / part / "masks" / f"{part}.png", disc() * WHITE)
    kinds = [problem.kind for problem in inspect(tmp_path).problems]
    assert kinds == ["duplicate_across_split"]


def test_masks_only_the_user_can_explain(tmp_path: Path) -> None:
    images, masks = binary_folder(tmp_path, 2)
    colours = np.array([(0, 0, 0), (255, 0, 0), (0, 0, 255)], np.uint8)
    for index in range(2):
        save(masks / f"{index}.png", colours[disc() + disc(shift=2)])
    findings = inspect(images, masks)
    assert [problem.kind for problem in findings.problems] == ["colours_need_map"]
    with pytest.raises(DataError, match=r"\(255, 0, 0\)"):
        mend(images, masks, tmp_path / "out")
    options = DataOptions(colours={"rim": (255, 0, 0), "core": (0, 0, 255)})
    assert mend(images, masks, tmp_path / "out", options).num_classes == 2
    assert open_dataset(tmp_path / "out").num_classes == 2


def test_jpeg_masks_are_named(tmp_path: Path) -> None:
    save(tmp_path / "images" / "a.png", picture(0, (96, 96)))
    save(tmp_path / "masks" / "a.jpg", disc((96, 96), radius=30) * WHITE)
    findings = inspect(tmp_path)
    assert [(p.kind, p.stops_training) for p in findings.problems] == [("jpeg_mask", False)]


@pytest.mark.parametrize(("num", "inverted", "asked"), [(6, [3], True), (6, [1, 2, 3], False), (6, [], False)])
def test_a_mask_that_seems_inverted_is_asked_about(num: int, inverted: list[int], asked: bool, tmp_path: Path) -> None:
    images, masks = binary_folder(tmp_path, num)
    for number in inverted:
        save(masks / f"{number}.png", np.uint8(255) - disc() * WHITE)
    kinds = [(problem.kind, Path(problem.file).name) for problem in inspect(images, masks).problems]
    assert [name for kind, name in kinds if kind == "inverted_mask"] == (["3.png"] if asked else [])
