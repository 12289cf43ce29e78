"""TIFF files of every kind, written by tifffile, Pillow and OpenCV: their samples, their picture, or the sentence."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from samtune.data.images.decoding import decode, read_header
from samtune.data.images.reading import image_notes, read_image
from samtune.data.masks import survey_mask
from samtune.errors import DataError

HW = (40, 56)
Y, X = np.mgrid[: HW[0], : HW[1]]
SCENE = np.stack([0.5 + 0.25 * np.sin(X / 7 + 2 * c) + 0.25 * np.cos(Y / 5 - c) for c in range(3)], axis=-1)
RGB8 = (SCENE * 255).astype(np.uint8)
RGB16 = (SCENE * 4000 + 300).astype(np.uint16)
FLOAT = SCENE.astype(np.float32)
GREY8, GREY16 = RGB8[..., 0], RGB16[..., 0]
PLANES16 = np.ascontiguousarray(np.moveaxis(RGB16, -1, 0))
LEFT = np.broadcast_to(X < 8, HW)
"""Columns that the tests of missing samples fill."""

FOUR16 = np.dstack([RGB16, GREY16 // 2])
TWO = np.dstack([GREY8, 255 - GREY8])
RAMP = np.stack([np.arange(256)] * 3)


@dataclass(frozen=True)
class Kind:
    """A file of tifffile, and what must come of it.

    Attributes:
        pixels: given to tifffile.imwrite.
        how: its further arguments.
        stored: the samples that must be decoded; None for `pixels` themselves.
        shown: "rgb", "grey" or "negative" of the scene, up to scale; None where it makes no picture.
        says: must occur among the notes.
        exact: False for lossy compression.
    """

    pixels: np.ndarray
    how: dict[str, Any] = field(default_factory=dict)
    stored: np.ndarray | None = None
    shown: str | None = "rgb"
    says: str = ""
    exact: bool = True


def nodata(text: str) -> list[tuple[int, int, int, str, bool]]:
    return [(42113, 2, 0, text, True)]


def filled(value: Any, dtype: Any, scene: np.ndarray = SCENE[..., 0]) -> np.ndarray:
    """Grey with `value` in the left columns."""
    return np.where(LEFT, value, scene).astype(dtype)


RGB: dict[str, Any] = {"photometric": "rgb"}
BLACK: dict[str, Any] = {"photometric": "minisblack"}
WHITE: dict[str, Any] = {"photometric": "miniswhite"}
CONTIG: dict[str, Any] = {**BLACK, "planarconfig": "contig"}
LOSSLESS = ("lzw", "deflate", "zstd", "lzma", "packbits")

KINDS: dict[str, Kind] = {
    "8 bit": Kind(RGB8, RGB),
    "8 bit, strips": Kind(RGB8, {**RGB, "rowsperstrip": 7}),
    "8 bit, big-endian": Kind(RGB8, {**RGB, "byteorder": ">"}),
    "8 bit, tiles": Kind(RGB8, {**RGB, "tile": (16, 16)}),
    "8 bit, planes apart": Kind(np.moveaxis(RGB8, -1, 0), {**RGB, "planarconfig": "separate"}, RGB8),
    "16 bit": Kind(RGB16, RGB, says="more than 8 bit"),
    "16 bit, big-endian": Kind(RGB16, {**RGB, "byteorder": ">", "rowsperstrip": 7}),
    "16 bit, BigTIFF": Kind(RGB16, {**RGB, "bigtiff": True}),
    "16 bit, planes apart": Kind(PLANES16, {**RGB, "planarconfig": "separate", "rowsperstrip": 30}, RGB16),
    "16 bit, planes apart, big-endian": Kind(
        PLANES16, {**RGB, "planarconfig": "separate", "byteorder": ">", "rowsperstrip": 30}, RGB16
    ),
    "16 bit, planes apart, tiles": Kind(PLANES16, {**RGB, "planarconfig": "separate", "tile": (16, 16)}, RGB16),
    "float, planes apart": Kind(
        np.moveaxis(FLOAT, -1, 0), {**RGB, "planarconfig": "separate", "rowsperstrip": 9}, FLOAT
    ),
    "three bands without colours": Kind(RGB16, CONTIG, says="read as red, green and blue"),
    "three bands without colours, 8 bit": Kind(RGB8, CONTIG, says="read as red, green and blue"),
    "three bands without colours, apart": Kind(
        PLANES16, {**BLACK, "planarconfig": "separate"}, RGB16, says="read as red, green and blue"
    ),
    "four bands without colours": Kind(FOUR16, CONTIG, says="the fourth dropped"),
    "four bands without colours, apart": Kind(
        np.moveaxis(FOUR16, -1, 0), {**BLACK, "planarconfig": "separate"}, FOUR16, says="the fourth dropped"
    ),
    "RGB and infrared": Kind(FOUR16, {**RGB, "extrasamples": [0]}, says="a fourth band"),
    "RGB and alpha": Kind(FOUR16, {**RGB, "extrasamples": [2]}, says="alpha channel: dropped"),
    "RGB and associated alpha": Kind(
        np.dstack([RGB8, GREY8]), {**RGB, "extrasamples": [1]}, says="alpha channel: dropped"
    ),
    "grey and alpha": Kind(TWO, {**CONTIG, "extrasamples": [2]}, shown="grey", says="alpha channel: dropped"),
    "two bands": Kind(TWO, CONTIG, shown=None),
    "five bands": Kind(np.dstack([RGB16, RGB16[..., :2]]), CONTIG, shown=None),
    "signed 8 bit": Kind((SCENE[..., 0] * 200 - 100).astype(np.int8), BLACK, shown="grey", says="signed"),
    "signed 16 bit": Kind((SCENE[..., 0] * 4000 - 2000).astype(np.int16), BLACK, shown="grey"),
    "signed 32 bit": Kind((SCENE[..., 0] * 1e6 - 2000).astype(np.int32), BLACK, shown="grey"),
    "unsigned 32 bit": Kind((SCENE[..., 0] * 4e9).astype(np.uint32), BLACK, shown="grey"),
    "unsigned 64 bit": Kind((SCENE[..., 0] * 4e9).astype(np.uint64), BLACK, shown="grey"),
    "float16": Kind(FLOAT.astype(np.float16), RGB),
    "float64": Kind(SCENE, RGB),
    "float predictor": Kind(FLOAT[..., 0], {**BLACK, "compression": "deflate", "predictor": 3}, shown="grey"),
    "JPEG": Kind(RGB8, {**RGB, "compression": "jpeg", "rowsperstrip": 16}, exact=False),
    "JPEG, tiles": Kind(RGB8, {**RGB, "compression": "jpeg", "tile": (32, 32)}, exact=False),
    "WebP": Kind(RGB8, {**RGB, "compression": "webp", "rowsperstrip": 16}),
    "JPEG 2000": Kind(RGB8, {**RGB, "compression": "jpeg2000", "rowsperstrip": 16}),
    "Boolean": Kind(GREY8 > 127, {}, (GREY8 > 127).astype(np.uint8), "negative", "with white stored as zero: inverted"),
    "Boolean, black is zero": Kind(GREY8 > 127, BLACK, (GREY8 > 127).astype(np.uint8), "grey"),
    "white is zero": Kind(GREY8, WHITE, shown="negative", says="with white stored as zero: inverted"),
    "white is zero, 16 bit": Kind(GREY16, WHITE, shown="negative", says="with white stored as zero: inverted"),
    "white is zero, signed": Kind(GREY16.astype(np.int16), WHITE, shown="negative"),
    "white is zero, float": Kind(FLOAT[..., 0], WHITE, shown="negative", says="with white stored as zero: inverted"),
    **{
        f"{bits} bit": Kind(
            np.rint(SCENE[..., 0] * (2**bits - 1)).astype(np.uint8), {**BLACK, "bitspersample": bits}, shown="grey"
        )
        for bits in (2, 4, 6)
    },
    "12 bit": Kind((SCENE[..., 0] * 4095).astype(np.uint16), {**BLACK, "bitspersample": 12}, shown="grey"),
    "palette": Kind(GREY8, {"photometric": "palette", "colormap": (RAMP * 257).astype(np.uint16)}, shown="grey"),
    "palette of 8-bit colours": Kind(
        GREY8, {"photometric": "palette", "colormap": RAMP.astype(np.uint16)}, shown="grey"
    ),
    "inverting palette": Kind(
        GREY8, {"photometric": "palette", "colormap": (RAMP[:, ::-1] * 257).astype(np.uint16)}, shown="negative"
    ),
    "CMYK": Kind(np.dstack([255 - RGB8, GREY8 * 0]), {"photometric": "separated"}, RGB8, says="CMYK"),
    "CMYK, 16 bit": Kind(np.dstack([65535 - RGB16, GREY16 * 0]), {"photometric": "separated"}, RGB16, says="CMYK"),
    "pages": Kind(np.stack([GREY16] * 3), BLACK, GREY16, "grey", "several pages"),
    "ImageJ stack": Kind(np.stack([GREY16] * 3), {"imagej": True}, GREY16, "grey", "several pages"),
    "ImageJ hyperstack": Kind(
        np.stack([np.stack([GREY16, GREY16 // 2])] * 3),
        {"imagej": True, "metadata": {"axes": "ZCYX"}}, GREY16, "grey", "several pages",
    ),
    "ImageJ RGB": Kind(RGB8, {"imagej": True}),
    "OME": Kind(np.stack([GREY16] * 3), {"ome": True, **BLACK}, GREY16, "grey", "several pages"),
    "volume": Kind(
        np.stack([GREY8] * 16), {"volumetric": True, "tile": (16, 16, 16), **BLACK}, GREY8, "grey", "several pages"
    ),
    "turned": Kind(
        np.rot90(RGB8), {**RGB, "extratags": [(274, 3, 1, 6, True)]}, RGB8, says="EXIF rotation: applied"
    ),
    "nodata -9999": Kind(
        filled(-9999, np.float32), {**BLACK, "extratags": nodata("-9999")}, shown="grey", says="nodata value -9999"
    ),
    "nodata of many digits": Kind(
        filled(np.float32(-3.4028234663852886e38), np.float32),
        {**BLACK, "extratags": nodata("-3.40282346638529e+38")}, shown="grey", says="nodata value -3.40282e+38",
    ),
    "nodata NaN": Kind(filled(np.nan, np.float32), {**BLACK, "extratags": nodata("nan")}, shown="grey", says="NaN"),
    "nodata 0": Kind(
        filled(0, np.uint16, GREY16), {**BLACK, "extratags": nodata("0")}, shown="grey", says="nodata value 0"
    ),
    "nodata beyond the type": Kind(GREY16, {**BLACK, "extratags": nodata("-9999")}, shown="grey"),
    "nodata that is no number": Kind(GREY16, {**BLACK, "extratags": nodata("none")}, shown="grey"),
    "nodata of bytes": Kind(GREY8, {**BLACK, "extratags": nodata("255")}, shown="grey"),
    "nodata in three bands": Kind(
        np.where(LEFT[..., None], 65535, RGB16), {**RGB, "extratags": nodata("65535")}, says="nodata value 65535"
    ),
    "NaN": Kind(filled(np.nan, np.float32), BLACK, shown="grey", says="NaN or infinite"),
    "infinite": Kind(filled(np.inf, np.float32), BLACK, shown="grey", says="NaN or infinite"),
    "-3.4e38": Kind(filled(np.finfo(np.float32).min, np.float32), BLACK, shown="grey", says="beyond 1e20"),
    "1e30": Kind(filled(1e30, np.float32), BLACK, shown="grey", says="beyond 1e20"),
    "-1.8e308": Kind(filled(np.finfo(np.float64).min, np.float64), BLACK, shown="grey", says="beyond 1e20"),
    "-9999 without a tag": Kind(filled(-9999, np.float32), BLACK, shown="grey", says="areas of -9999"),
    "-9999 in 16 bit": Kind(filled(-9999, np.int16, GREY16), BLACK, shown="grey", says="areas of -9999"),
    "-32768": Kind(filled(-32768, np.int16, GREY16), BLACK, shown="grey", says="areas of -32768"),
    "65535 at the border": Kind(filled(65535, np.uint16, GREY16), BLACK, shown="grey", says="areas of 65535"),
    "0 at the border": Kind(filled(0, np.uint16, GREY16 + 20000), BLACK, shown="grey", says="areas of 0"),
    **{
        f"{depth}, {codec}": Kind(pixels, {**RGB, "compression": codec, "rowsperstrip": 16})
        for codec in LOSSLESS
        for depth, pixels in (("8 bit", RGB8), ("16 bit", RGB16))
    },
    **{
        f"16 bit, tiles, predictor, {codec}": Kind(
            RGB16, {**RGB, "compression": codec, "tile": (16, 32), "predictor": True, "byteorder": ">"}
        )
        for codec in ("lzw", "deflate", "zstd")
    },
}  # fmt: skip


def write(path: Path, kind: Kind) -> Path:
    tifffile.imwrite(path, kind.pixels, **kind.how)
    return path


@pytest.mark.parametrize("name", KINDS)
def test_samples_are_decoded_as_stored_and_shown_up_to_scale(name: str, tmp_path: Path) -> None:
    kind = KINDS[name]
    path = write(tmp_path / "a.tif", kind)
    raw = decode(path)
    stored = kind.pixels if kind.stored is None else kind.stored
    assert raw.pixels.shape == stored.shape
    assert raw.pixels.dtype == stored.dtype
    assert raw.pixels.dtype.isnative
    assert read_header(path) == raw.header
    assert raw.header.hw == HW
    if kind.exact:
        np.testing.assert_array_equal(raw.pixels, stored)
    else:
        assert np.abs(raw.pixels.astype(int) - stored).mean() < 3
    if kind.shown is None:
        with pytest.raises(DataError, match="expected an image of 1, 3 or 4 channels"):
            read_image(path)
        return
    image = read_image(path)
    np.testing.assert_array_equal(image, read_image(path))
    assert image.shape == (*HW, 3)
    assert kind.says in "; ".join(image_notes(raw, path))
    scene = {"rgb": SCENE, "grey": SCENE[..., [0, 0, 0]], "negative": 1 - SCENE[..., [0, 0, 0]]}[kind.shown]
    least = 0.75 if stored.max() == 1 else 0.9 if 2 <= stored.max() <= 3 else 0.99
    for channel in range(3):
        seen, expected = image[:, 8:, channel], scene[:, 8:, channel]
        assert np.corrcoef(seen.ravel(), expected.ravel())[0, 1] > least
        assert np.ptp(seen.astype(int)) > 150


@pytest.mark.parametrize("name", KINDS)
def test_a_truncated_file_is_whole_or_one_sentence(name: str, tmp_path: Path) -> None:
    data = write(tmp_path / "a.tif", KINDS[name]).read_bytes()
    whole = decode(tmp_path / "a.tif").pixels
    refused = 0
    for length in np.linspace(0, len(data) - 1, 30).astype(int):
        path = tmp_path / "cut.tif"
        path.write_bytes(data[:length])
        message = ""
        try:
            np.testing.assert_array_equal(decode(path).pixels, whole)
        except DataError as error:
            message = str(error)
        if message:
            refused += 1
            assert message.startswith(f"{path}: ")
            assert "\n" not in message
    assert refused >= 5


def test_random_bytes_in_a_file_never_raise_anything_else(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in (
        "16 bit, planes apart",
        "8 bit, lzw",
        "JPEG, tiles",
        "palette",
        "ImageJ stack",
        "nodata -9999",
        "JPEG 2000",
    ):
        data = write(tmp_path / "a.tif", KINDS[name]).read_bytes()
        for trial in range(60):
            damaged = bytearray(data)
            end = 400 if trial % 2 else len(data)
            for at in rng.integers(4, end, 1 + trial % 7):
                damaged[at] = rng.integers(256)
            (tmp_path / "b.tif").write_bytes(damaged)
            try:
                read_header(tmp_path / "b.tif")
                survey_mask(tmp_path / "b.tif")
                read_image(tmp_path / "b.tif")
            except DataError:
                pass


def test_signalling_nans_are_nans_like_others(tmp_path: Path) -> None:
    pixels = FLOAT[..., 0].copy()
    pixels.view(np.uint32)[:4] = 0x7F800001
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="minisblack")
    assert survey_mask(tmp_path / "a.tif").form == "float"
    assert read_image(tmp_path / "a.tif")[:4].max() == 0


def test_cmyk_that_lacks_an_ink_is_no_picture(tmp_path: Path) -> None:
    path = hand_made(tmp_path / "a.tif", 9, 9, channels=2, photometric=5, data=bytes(range(162)))
    assert decode(path).pixels.shape == (9, 9, 2)
    with pytest.raises(DataError, match="2 bands that differ"):
        survey_mask(path)


def test_terminal_stays_clean(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data = bytearray(write(tmp_path / "a.tif", KINDS["8 bit, lzw"]).read_bytes())
    for at in range(8, 300, 12):
        data[at] ^= 0x5A
    (tmp_path / "a.tif").write_bytes(data)
    with pytest.raises(DataError):
        decode(tmp_path / "a.tif")
    tifffile.imwrite(tmp_path / "b.tif", GREY16, extratags=nodata("-9999"), photometric="minisblack")
    decode(tmp_path / "b.tif")  # tifffile warns that uint16 cannot hold -9999
    assert capfd.readouterr() == ("", "")


def by_opencv(path: Path, pixels: np.ndarray) -> None:
    cv2.imwrite(str(path), pixels[..., ::-1] if pixels.ndim == 3 else pixels)


@pytest.mark.parametrize(
    "pixels", [RGB8, RGB16, GREY8, GREY16, FLOAT], ids=["RGB8", "RGB16", "grey8", "grey16", "float"]
)
def test_files_of_opencv(pixels: np.ndarray, tmp_path: Path) -> None:
    by_opencv(tmp_path / "a.tif", pixels)
    np.testing.assert_array_equal(decode(tmp_path / "a.tif").pixels, pixels)


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "CMYK", "P", "I;16", "F"])
def test_files_of_pillow(compression: str | None, mode: str, tmp_path: Path) -> None:
    if compression == "jpeg" and mode not in ("L", "RGB"):
        pytest.skip("Pillow writes no such file")
    image = Image.fromarray(GREY16) if mode == "I;16" else Image.fromarray(RGB8).convert(mode)
    image.save(tmp_path / "a.tif", compression=compression)
    raw = decode(tmp_path / "a.tif")
    expected = np.asarray(image.convert("RGB") if mode == "CMYK" else image)
    if mode == "CMYK" or compression == "jpeg":
        assert np.abs(raw.pixels.astype(int) - expected).max() <= (2 if mode == "CMYK" else 40)
    else:
        np.testing.assert_array_equal(raw.pixels, expected)
    assert raw.header.lossy == (compression == "jpeg")


@pytest.mark.parametrize("compression", ["group3", "group4", "tiff_ccitt"])
def test_fax_of_pillow_stores_white_as_pillow_says(compression: str, tmp_path: Path) -> None:
    shown = GREY8 > 127
    Image.fromarray(shown).save(tmp_path / "a.tif", compression=compression)
    raw = decode(tmp_path / "a.tif")
    stored = ~shown if raw.header.samples.white_is_zero else shown
    np.testing.assert_array_equal(raw.pixels, stored)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif")[..., 0], shown * np.uint8(255))


def test_saturated_objects_stay_bright(tmp_path: Path) -> None:
    glow = cv2.GaussianBlur((((Y - 20) ** 2 + (X - 28) ** 2) < 60).astype(np.float32), (0, 0), 2)
    soft = np.where(glow > 0.5, 65535, 300 + 60000 * glow + GREY16 / 8)
    sharp = np.where(((Y - 20) ** 2 + (X - 28) ** 2) < 60, 65535, GREY16)
    specks = GREY16.copy()
    specks[::9, ::7] = 65535
    for pixels in (soft, sharp, specks):
        tifffile.imwrite(tmp_path / "a.tif", pixels.astype(np.uint16), photometric="minisblack")
        image = read_image(tmp_path / "a.tif")
        assert (image[pixels == 65535] == 255).all()
        notes = "; ".join(image_notes(decode(tmp_path / "a.tif"), tmp_path / "a.tif"))
        assert "missing, shown black" not in notes
        assert ("treated as saturated" in notes) == (pixels is sharp)
    mask = np.where(LEFT, 65535, 0).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", mask, photometric="minisblack")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif")[..., 0], np.where(LEFT, 255, 0))


def test_objects_on_plain_black_keep_their_background(tmp_path: Path) -> None:
    disc = ((Y - 20) ** 2 + (X - 28) ** 2) < 150
    for pixels in (np.where(disc, 5000 + GREY16 // 40, 0), np.where(disc, 0, 5000 + GREY16 // 40)):
        tifffile.imwrite(tmp_path / "a.tif", pixels.astype(np.uint16), photometric="minisblack")
        assert not any("missing" in note for note in image_notes(decode(tmp_path / "a.tif"), tmp_path / "a.tif"))
        image = read_image(tmp_path / "a.tif")
        assert image[pixels == 0].max() == 0
        assert image[pixels > 0].min() > 200


def test_an_image_of_missing_samples_alone_is_black_and_said(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.full(HW, np.nan, np.float32), photometric="minisblack")
    assert read_image(tmp_path / "a.tif").max() == 0
    assert any("without a valid pixel" in note for note in image_notes(decode(tmp_path / "a.tif"), tmp_path / "a.tif"))


def test_previews_overviews_and_masks_are_no_pages(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(RGB8[::4, ::4], subfiletype=1, **RGB)
        writer.write(RGB8, **RGB)
        writer.write(RGB8[::2, ::2], subfiletype=1, **RGB)
        writer.write(GREY8 > 9, subfiletype=4, **BLACK)
    raw = decode(tmp_path / "a.tif")
    np.testing.assert_array_equal(raw.pixels, RGB8)
    assert raw.header.pages == 1
    assert any("preview" in note for note in raw.header.notes)


def test_a_chain_of_pages_in_a_circle_ends(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for _ in range(3):
            writer.write(GREY8, metadata=None, contiguous=False, **BLACK)
    data = bytearray((tmp_path / "a.tif").read_bytes())
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        last, first = tiff.pages[2].offset, tiff.pages[0].offset
    num = struct.unpack_from("<H", data, last)[0]
    struct.pack_into("<I", data, last + 2 + 12 * num, first)
    (tmp_path / "a.tif").write_bytes(data)
    assert decode(tmp_path / "a.tif").header.pages == 3


def test_many_pages_are_counted_only_so_far(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for _ in range(1100):
            writer.write(GREY8[:4, :4], metadata=None, contiguous=False, **BLACK)
    assert read_header(tmp_path / "a.tif").pages == 1000


def hand_made(
    path: Path, width: int, height: int, *, channels: int = 1, bits: int = 8, compression: int = 1,
    photometric: int = 1, data: bytes = bytes(100), count: int | None = None, tile: int | None = None,
) -> Path:  # fmt: skip
    """A little-endian TIFF whose tags say what they are told to, whatever the data."""
    tags = [
        (256, "I", [width]), (257, "I", [height]), (258, "H", [bits] * channels), (259, "H", [compression]),
        (262, "H", [photometric]), (277, "H", [channels]),
    ]  # fmt: skip
    names = (324, 325) if tile else (273, 279)
    tags += [(names[0], "I", [8]), (names[1], "I", [len(data) if count is None else count])]
    tags += [(322, "I", [tile]), (323, "I", [tile])] if tile else [(278, "I", [height])]
    data += bytes(len(data) % 2)
    extra_at = 8 + len(data) + 2 + 12 * len(tags) + 4
    entries, extra = b"", b""
    for code, form, values in sorted(tags):
        packed = struct.pack(f"<{len(values)}{form}", *values)
        if len(packed) > 4:
            offset = extra_at + len(extra)
            extra += packed + bytes(len(packed) % 2)
            packed = struct.pack("<I", offset)
        entries += struct.pack("<HHI", code, {"H": 3, "I": 4}[form], len(values)) + packed.ljust(4, b"\0")
    path.write_bytes(
        b"II*\0" + struct.pack("<I", 8 + len(data)) + data + struct.pack("<H", len(tags)) + entries + bytes(4) + extra
    )
    return path


def stream(codec: str) -> bytes:
    """A picture of 2,000 x 2,000, as a TIFF of 64 x 64 may hide it in its only strip."""
    encode: Any = getattr(imagecodecs, f"{codec}_encode")
    coded: bytes = encode(np.zeros((2000, 2000, 3), np.uint8))
    return coded


SMALL_RGB: dict[str, Any] = {"width": 64, "height": 64, "channels": 3, "photometric": 2}
HOSTILE: dict[str, tuple[dict[str, Any], str]] = {
    "20 GB declared": ({"width": 100_000, "height": 100_000}, "SAMTUNE_MAX_PIXELS"),
    "all bits set": ({"width": 2**32 - 1, "height": 2**32 - 1}, "SAMTUNE_MAX_PIXELS"),
    "many channels": ({"width": 10_000, "height": 10_000, "channels": 60}, "SAMTUNE_MAX_BYTES"),
    "no pixels": ({"width": 0, "height": 10}, "no pixels"),
    "uncompressed, short": ({"width": 13_000, "height": 13_000}, "truncated"),
    "LZW, short": ({"width": 13_000, "height": 13_000, "compression": 5}, "truncated"),
    "Deflate bomb": (
        {"width": 13_000, "height": 13_000, "compression": 8, "data": zlib.compress(bytes(10**6))}, "truncated",
    ),
    "strip beyond the end": ({"width": 64, "height": 64, "compression": 8, "count": 2**32 - 1}, "truncated"),
    "no data": ({"width": 64, "height": 64, "count": 0}, "holds a header without pixels"),
    "huge tile": ({"width": 64, "height": 64, "tile": 2**20}, "SAMTUNE_MAX_PIXELS"),
    "huge JPEG inside": ({**SMALL_RGB, "compression": 7, "data": stream("jpeg8")}, "larger than the image"),
    "JPEG of 1 bit": ({**SMALL_RGB, "bits": 1, "compression": 7}, "JPEG of 1 bit"),
    "JPEG, short": ({"width": 9_000, "height": 9_000, "compression": 7, "data": stream("jpeg8")[:2000]}, "truncated"),
    "huge JPEG 2000 inside": ({**SMALL_RGB, "compression": 34712, "data": stream("jpeg2k")}, "larger than the image"),
    "huge WebP inside": ({**SMALL_RGB, "compression": 50001, "data": stream("webp")}, "larger than the image"),
    "huge Zstandard inside": (
        {"width": 64, "height": 64, "compression": 50000, "data": imagecodecs.zstd_encode(bytes(10**7))},
        "cannot be decoded",
    ),
    "33 bits": ({"width": 9, "height": 9, "bits": 33}, "33 bit"),
    "0 bits": ({"width": 9, "height": 9, "bits": 0}, "0 bit"),
    "JPEG XL": ({"width": 9, "height": 9, "compression": 50002}, "save it with LZW or Deflate"),
    "unknown compression": ({"width": 9, "height": 9, "compression": 12345}, "12345"),
    "CIELab": ({"width": 9, "height": 9, "channels": 3, "photometric": 8}, "CIELab"),
    "raw sensor": ({"width": 9, "height": 9, "photometric": 32803}, "raw colour filter array"),
    "palette missing": ({"width": 9, "height": 9, "photometric": 3}, "no palette"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_before_memory_is_asked_for(name: str, tmp_path: Path) -> None:
    how, says = HOSTILE[name]
    path = hand_made(tmp_path / "a.tif", **how)
    with pytest.raises(DataError, match=says):
        decode(path)


def test_complex_samples_are_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", FLOAT[..., 0].astype(np.complex64), photometric="minisblack")
    with pytest.raises(DataError, match="of a kind that is not read"):
        read_header(tmp_path / "a.tif")


def test_blocks_that_a_sparse_file_leaves_out_are_nodata(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GREY16, tile=(16, 16), extratags=nodata("7"), **BLACK)
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        page: Any = tiff.pages[0]
        counts, size = page.tags[325].valueoffset, {3: 2, 4: 4}[page.tags[325].dtype]
    data = bytearray((tmp_path / "a.tif").read_bytes())
    data[counts : counts + size] = bytes(size)
    (tmp_path / "a.tif").write_bytes(data)
    pixels = decode(tmp_path / "a.tif").pixels
    assert (pixels[:16, :16] == 7).all()
    np.testing.assert_array_equal(pixels[16:], GREY16[16:])
