"""Every kind of image file as uint8 RGB, and what pairs with what."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from samtune.data import content_id, open_dataset, read_image
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
