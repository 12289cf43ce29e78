"""Every kind of image file as uint8 RGB, and what pairs with what."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from samtune.data import content_id, find_pairs, open_dataset, read_image
from samtune.data.images.decoding import decode, read_header
from samtune.data.images.raw import upright
from samtune.data.images.reading import header_notes, image_notes
from samtune.errors import DataError, ShapeError
from tests.data.folders import binary_folder, disc, picture, save

ROTATIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp", ".webp"])
def test_lossless_rgb_is_read_exactly(suffix: str, tmp_path: Path) -> None:
    path = save(tmp_path / f"a{suffix}", picture(), **({"lossless": True} if suffix == ".webp" else {}))
    np.testing.assert_array_equal(read_image(path), picture())


def test_grey_palette_and_alpha_become_rgb(tmp_path: Path) -> None:
    image = picture()
    grey = image[..., 0]
    np.testing.assert_array_equal(read_image(save(tmp_path / "g.png", grey)), np.dstack([grey] * 3))
    with_alpha = np.dstack([grey, grey // 2])
    np.testing.assert_array_equal(read_image(save(tmp_path / "la.png", with_alpha)), np.dstack([grey] * 3))
    path = save(tmp_path / "rgba.png", np.dstack([image, grey]))
    np.testing.assert_array_equal(read_image(path), image)
    assert any("alpha" in note for note in header_notes(read_header(path)))
    Image.fromarray(image).quantize(256).save(tmp_path / "p.png")
    assert np.abs(read_image(tmp_path / "p.png").astype(int) - image).mean() < 20
    Image.fromarray(grey > 127).save(tmp_path / "one.png")
    assert set(np.unique(read_image(tmp_path / "one.png"))) == {0, 255}


def test_jpeg_grey_rgb_and_cmyk(tmp_path: Path) -> None:
    image = picture(hw=(96, 128))
    for mode in ("RGB", "CMYK"):
        Image.fromarray(image).convert(mode).save(tmp_path / f"{mode}.jpg", quality=98)
        assert np.abs(read_image(tmp_path / f"{mode}.jpg").astype(int) - image).mean() < 8
    assert any("CMYK" in note for note in header_notes(read_header(tmp_path / "CMYK.jpg")))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("channels", [1, 3])
def test_16_bit_is_scaled_by_percentiles(suffix: str, channels: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    deep = rng.integers(1000, 5000, (40, 50, channels)).astype(np.uint16)
    path = tmp_path / f"deep{suffix}"
    cv2.imwrite(str(path), deep[..., ::-1] if channels == 3 else deep[..., 0])
    low, high = np.percentile(deep, (0.5, 99.5))
    expected = np.clip((deep.astype(float) - low) / (high - low) * 255, 0, 255)
    image = read_image(path)
    assert image.shape == (40, 50, 3)
    assert np.abs(image - expected).max() <= 1
    assert any("more than 8 bit" in note for note in header_notes(read_header(path)))


@pytest.mark.parametrize("channels", [1, 3])
def test_float_tiff_is_scaled_and_nan_is_black(channels: int, tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(20, 30, channels)).astype(np.float32)
    cv2.imwrite(str(tmp_path / "a.tif"), values)
    assert read_image(tmp_path / "a.tif").min() == 0
    assert read_image(tmp_path / "a.tif").max() == 255
    values[3, 4] = np.nan
    cv2.imwrite(str(tmp_path / "b.tif"), values)
    assert (read_image(tmp_path / "b.tif")[3, 4] == 0).all()
    assert any("NaN" in note for note in image_notes(decode(tmp_path / "b.tif"), tmp_path / "b.tif"))
    constant = np.full((4, 4), 7, np.float32)
    cv2.imwrite(str(tmp_path / "c.tif"), constant)
    assert read_image(tmp_path / "c.tif").max() == 0


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_exif_rotation_is_applied(orientation: int, suffix: str, tmp_path: Path) -> None:
    image = picture(hw=(96, 128))
    path = save(tmp_path / f"a{suffix}", image, exif=exif(orientation))
    turned = Image.fromarray(image)
    if orientation in ROTATIONS:
        turned = turned.transpose(ROTATIONS[orientation])
    expected = np.asarray(turned)
    found = read_image(path)
    assert found.shape == expected.shape
    assert read_header(path).hw == expected.shape[:2]
    assert np.abs(found.astype(int) - expected).mean() < (6 if suffix == ".jpg" else 1e-9)
    np.testing.assert_array_equal(upright(image, orientation), expected)


def test_exif_of_the_image_alone_asks_for_a_turned_mask(tmp_path: Path) -> None:
    save(tmp_path / "images" / "a.png", picture(), exif=exif(6))
    save(tmp_path / "masks" / "a.png", disc() * np.uint8(255))
    with pytest.raises(DataError, match="EXIF rotation"):
        open_dataset(tmp_path / "images", tmp_path / "masks")
    save(tmp_path / "masks" / "a.png", disc() * np.uint8(255), exif=exif(6))
    dataset = open_dataset(tmp_path / "images", tmp_path / "masks")
    assert dataset.image(0).shape[:2] == dataset.labels(0).shape == (32, 24)


def test_only_the_first_page_is_used_and_said(tmp_path: Path) -> None:
    first, second = (Image.fromarray(picture(i)) for i in range(2))
    first.save(tmp_path / "a.tif", save_all=True, append_images=[second])
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), picture(0))
    assert any("pages" in note for note in header_notes(read_header(tmp_path / "a.tif")))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".bmp", ".webp"])
def test_truncated_files_are_named(suffix: str, tmp_path: Path) -> None:
    images, masks = binary_folder(tmp_path)
    (images / "1.png").unlink()
    whole = save(tmp_path / f"whole{suffix}", picture(hw=(24, 32))).read_bytes()
    (images / f"1{suffix}").write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(DataError, match=r"1\.\w+: "):
        open_dataset(images, masks)
    with pytest.raises(DataError, match=r"1\.\w+: "):
        read_image(images / f"1{suffix}")


def test_no_image_at_all_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("hello")
    (tmp_path / "b.png").write_bytes(b"")
    for name in ("a.png", "b.png", "absent.png"):
        with pytest.raises(DataError, match=name):
            read_image(tmp_path / name)


def test_content_id_survives_re_encoding_and_sees_pixels_and_shape(tmp_path: Path) -> None:
    image = picture()
    ids = {content_id(read_image(save(tmp_path / f"a{s}", image))) for s in (".png", ".bmp", ".tif")}
    assert len(ids) == 1
    changed = image.copy()
    changed[3, 3, 1] ^= 1
    assert content_id(changed) not in ids
    assert content_id(image.reshape(32, 24, 3)) not in ids
    with pytest.raises(ShapeError):
        content_id(np.zeros((0, 3, 3), np.uint8))


def test_suffixes_endings_and_strays(tmp_path: Path) -> None:
    for index, name in enumerate(("a_mask.png", "b_masks.tif", "c_label.bmp", "d.png")):
        save(tmp_path / "images" / f"{name[0]}.jpg", picture(index))
        save(tmp_path / "masks" / name, disc())
    (tmp_path / "images" / "Thumbs.db").write_text("x")
    (tmp_path / "images" / ".DS_Store").write_text("x")
    (tmp_path / "masks" / "notes.csv").write_text("x")
    save(tmp_path / "images" / "lonely.png", picture(9))
    found = find_pairs(tmp_path / "images", tmp_path / "masks")
    assert [pair.stem for pair in found.pairs] == ["a", "b", "c", "d"]
    assert any("notes.csv" in note for note in found.notes)
    assert not any("Thumbs" in note for note in found.notes)
    assert [problem.kind for problem in found.problems] == ["unpaired"]
    assert any("lonely" in note for note in found.notes)


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


@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
def test_manifest(delimiter: str, tmp_path: Path) -> None:
    binary_folder(tmp_path, 3)
    rows = [("image", "mask", "group", "split")]
    rows += [(f"images/{i}.png", f"masks/{i}.png", f"g{i % 2}", ("train", "valid", "")[i]) for i in range(3)]
    path = tmp_path / ("pairs.tsv" if delimiter == "\t" else "pairs.csv")
    path.write_text("\n".join(delimiter.join(row) for row in rows), encoding="utf-8-sig")
    dataset = open_dataset(path)
    assert [(p.stem, p.group, p.split) for p in dataset.pairs] == [
        ("0", "g0", "train"), ("1", "g1", "val"), ("2", "g0", None)
    ]  # fmt: skip
    with pytest.raises(DataError, match="manifest names the masks itself"):
        open_dataset(path, tmp_path / "masks")


def test_a_manifest_may_call_its_masks_labels(tmp_path: Path) -> None:
    binary_folder(tmp_path, 2)
    path = tmp_path / "train.csv"
    path.write_text(",image,label\n0,images/0.png,masks/0.png\n1,images/1.png,masks/1.png\n")
    assert [pair.mask.name for pair in open_dataset(path).pairs] == ["0.png", "1.png"]


def test_bad_manifests_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    cases = {
        "file,label\na,b": "image,mask",
        "image,mask\nimages/0.png,": "line 2",
        "image,mask,split\na.png,b.png,perhaps": "perhaps",
        "image,mask\nabsent.png,b.png": "absent.png",
    }
    for text, said in cases.items():
        path.write_text(text)
        with pytest.raises(DataError, match=said):
            open_dataset(path)


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


def test_problems_are_told_together_up_to_ten(tmp_path: Path) -> None:
    images, masks = binary_folder(tmp_path, 14)
    for index in range(13):
        save(masks / f"{index}.png", disc((20, 20)) * np.uint8(255))
    with pytest.raises(DataError) as caught:
        open_dataset(images, masks)
    message = str(caught.value)
    assert message.count("rows x columns") == 10
    assert "and 3 more" in message
