"""PNG, JPEG, PNM, BMP, GIF and WebP: samples as stored for masks, scaled for images, one sentence where damaged."""

from __future__ import annotations

import contextlib
import io
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from samtune.data import open_dataset
from samtune.data.images.decoding import decode, read_header
from samtune.data.images.reading import image_notes, read_image
from samtune.errors import DataError
from tests.data.folders import disc, picture, save

if TYPE_CHECKING:
    from collections.abc import Callable

IDS = np.arange(4).repeat(64).reshape(16, 16)
GREY, COLOUR, PALETTE, GREY_ALPHA, COLOUR_ALPHA = 0, 2, 3, 4, 6


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(pixels: np.ndarray, bits: int, colour: int, *before: bytes, size: tuple[int, int] | None = None) -> bytes:
    """A PNG file with exactly these samples; `size` (width, height) may lie."""
    height, width = pixels.shape[:2]
    rows = []
    for row in pixels.reshape(height, -1):
        digits = "".join(format(int(value), f"0{bits}b") for value in row)
        digits += "0" * (-len(digits) % 8)
        rows.append(b"\0" + bytes(int(digits[i : i + 8], 2) for i in range(0, len(digits), 8)))
    header = struct.pack(">IIBBBBB", *(size or (width, height)), bits, colour, 0, 0, 0)
    parts = [chunk(b"IHDR", header), *before, chunk(b"IDAT", zlib.compress(b"".join(rows))), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def pnm(magic: str, pixels: np.ndarray, top: int) -> bytes:
    """A PGM or PPM file, binary or in plain text."""
    head = f"{magic}\n# a comment 99\n{pixels.shape[1]} {pixels.shape[0]}\n{top}\n".encode()
    if magic in ("P2", "P3"):
        return head + " ".join(str(value) for value in pixels.ravel()).encode()
    return head + pixels.astype(">u2" if top > 255 else "u1").tobytes()


RGB_IDS = np.dstack([IDS, IDS, 3 - IDS])
WITH_ALPHA = np.dstack([IDS, IDS * 80])
TRANSPARENT = chunk(b"tRNS", b"\0\x01")

STORED: dict[str, tuple[bytes, np.ndarray, int]] = {
    "PNG of 1 bit": (png(IDS % 2, 1, GREY), IDS % 2, 255),
    "PNG of 2 bit": (png(IDS, 2, GREY), IDS, 255),
    "PNG of 2 bit with a transparent value": (png(IDS, 2, GREY, TRANSPARENT), IDS, 255),
    "PNG of 4 bit": (png(IDS, 4, GREY), IDS, 51),
    "PNG of 8 bit": (png(IDS, 8, GREY), IDS, 3),
    "PNG of 16 bit": (png(IDS, 16, GREY), IDS, 255),
    "PNG palette of 2 bit": (png(IDS, 2, PALETTE, chunk(b"PLTE", bytes([*range(0, 120, 10)]))), IDS, 110),
    "PNG palette of 1 bit": (png(IDS % 2, 1, PALETTE, chunk(b"PLTE", bytes([9] * 3 + [7] * 3))), IDS % 2, 9),
    "PNG of grey and alpha": (png(WITH_ALPHA, 8, GREY_ALPHA), WITH_ALPHA, 3),
    "PNG of colours": (png(RGB_IDS, 8, COLOUR), RGB_IDS, 3),
    "PNG of colours, 16 bit": (png(RGB_IDS * 1000, 16, COLOUR), RGB_IDS * 1000, 255),
    "PNG of colours, 16 bit, transparent value": (
        png(RGB_IDS * 1000, 16, COLOUR, chunk(b"tRNS", bytes(6))), RGB_IDS * 1000, 255,
    ),
    "PNG of colours and alpha, 16 bit": (
        png(np.dstack([RGB_IDS, IDS * 9]) * 1000, 16, COLOUR_ALPHA), np.dstack([RGB_IDS, IDS * 9]) * 1000, 255,
    ),
    **{
        f"{magic} up to {top}": (pnm(magic, pixels * (top // 3), top), pixels * (top // 3), shown)
        for magic, pixels in (("P5", IDS), ("P2", IDS), ("P6", RGB_IDS), ("P3", RGB_IDS))
        for top, shown in ((3, 255), (100, 252), (255, 255), (4095, 255), (65535, 255))
        if (magic, top > 255) != ("P3", True)
    },
    "P5 up to 1": (pnm("P5", IDS % 2, 1), IDS % 2, 255),
    "P4": (b"P4\n16 16\n" + np.packbits(IDS > 1).tobytes(), IDS > 1, 255),
    "P1": (b"P1\n16 16\n" + " ".join(str(int(v)) for v in (IDS > 1).ravel()).encode(), IDS > 1, 255),
}  # fmt: skip
"""Name -> the file, its samples, and the brightest value of the picture."""


@pytest.mark.parametrize("name", STORED)
def test_samples_are_those_in_the_file(name: str, tmp_path: Path) -> None:
    data, stored, brightest = STORED[name]
    path = tmp_path / "a.png"  # whatever the name says, the content counts
    path.write_bytes(data)
    raw = decode(path)
    np.testing.assert_array_equal(raw.pixels, stored.astype(raw.pixels.dtype))
    assert raw.pixels.shape == stored.shape
    assert read_header(path) == raw.header
    assert read_image(path).max() == brightest


def test_bitmaps_that_store_black_as_one_are_inverted_as_images_and_said(tmp_path: Path) -> None:
    (tmp_path / "a.pgm").write_bytes(STORED["P4"][0])
    np.testing.assert_array_equal(read_image(tmp_path / "a.pgm")[..., 0], np.where(IDS > 1, 0, 255))
    assert any("white stored as zero" in note for note in image_notes(decode(tmp_path / "a.pgm"), tmp_path / "a.pgm"))


def test_masks_of_mixed_depths_keep_their_ids(tmp_path: Path) -> None:
    for index, bits in enumerate((2, 4, 8, 16)):
        save(tmp_path / "images" / f"{index}.png", picture(index, (16, 16)))
        (tmp_path / "masks").mkdir(exist_ok=True)
        (tmp_path / "masks" / f"{index}.png").write_bytes(png(IDS, bits, GREY))
    dataset = open_dataset(tmp_path / "images", tmp_path / "masks")
    for index in range(4):
        np.testing.assert_array_equal(dataset.labels(index), IDS)


def test_a_mask_that_stores_white_as_zero_counts_as_stored_and_is_said(tmp_path: Path) -> None:
    import tifffile

    save(tmp_path / "images" / "a.png", picture())
    (tmp_path / "masks").mkdir()
    tifffile.imwrite(tmp_path / "masks" / "a.tif", disc().astype(bool))
    dataset = open_dataset(tmp_path / "images", tmp_path / "masks")
    np.testing.assert_array_equal(dataset.labels(0), disc())
    assert any("shown inverted; the stored values count" in note for note in dataset.notes)


@pytest.mark.parametrize("kind", ["ids with gaps", "float", "blurred", "JPEG"])
def test_masks_that_store_white_as_zero_are_said_however_they_are_read(kind: str, tmp_path: Path) -> None:
    import tifffile

    labels = disc((96, 96), radius=30)
    soft = np.asarray(Image.fromarray(labels * np.uint8(255)).resize((48, 48)).resize((96, 96)))
    pixels: dict[str, np.ndarray] = {
        "ids with gaps": labels * np.uint8(9),
        "float": labels * np.float32(0.75),
        "blurred": soft,
        "JPEG": labels * np.uint8(255),
    }
    save(tmp_path / "images" / "a.png", picture(0, (96, 96)))
    (tmp_path / "masks").mkdir()
    compression = "jpeg" if kind == "JPEG" else None
    tifffile.imwrite(tmp_path / "masks" / "a.tif", pixels[kind], photometric="miniswhite", compression=compression)
    dataset = open_dataset(tmp_path / "images", tmp_path / "masks")
    assert (dataset.labels(0) != labels).mean() < 0.02
    assert sum("shown inverted; the stored values count" in note for note in dataset.notes) == 1


def test_one_bit_masks_with_colours_are_white(tmp_path: Path) -> None:
    """A folder read by colours shows the 1 of a bilevel file as white."""
    from samtune.data import DataOptions

    for index, pixels in enumerate((disc().astype(bool), np.dstack([disc() * np.uint8(200)] * 2 + [disc()]))):
        save(tmp_path / "images" / f"{index}.png", picture(index))
        save(tmp_path / "masks" / f"{index}.png", pixels)
    options = DataOptions(colours={"a": (255, 255, 255), "b": (200, 200, 1)})
    dataset = open_dataset(tmp_path / "images", tmp_path / "masks", options)
    np.testing.assert_array_equal(dataset.labels(0), disc())
    np.testing.assert_array_equal(dataset.labels(1), disc() * 2)


def coded(form: str, mode: str = "RGB", **how: object) -> Callable[[], bytes]:
    def write() -> bytes:
        stream = io.BytesIO()
        Image.fromarray(picture(0, (40, 56))).convert(mode).save(stream, form, **how)
        return stream.getvalue()

    return write


FORMATS: dict[str, Callable[[], bytes]] = {
    "PNG": coded("PNG"),
    "PNG of palette": coded("PNG", "P"),
    "PNG of 16 bit": lambda: png(np.dstack([IDS * 9000] * 3), 16, COLOUR),
    "JPEG": coded("JPEG"),
    "JPEG, progressive": coded("JPEG", progressive=True),
    "JPEG, CMYK": coded("JPEG", "CMYK"),
    "GIF": coded("GIF", "P"),
    "BMP": coded("BMP"),
    "BMP of palette": coded("BMP", "P"),
    "WebP": coded("WEBP"),
    "WebP, lossless": coded("WEBP", lossless=True),
    "PPM": coded("PPM"),
    "PGM of 12 bit": lambda: pnm("P5", IDS * 1000, 4095),
    "PGM in plain text": lambda: pnm("P2", IDS, 3),
}


@pytest.mark.parametrize("name", FORMATS)
def test_damaged_files_are_whole_or_one_sentence(name: str, tmp_path: Path) -> None:
    data, path = FORMATS[name](), tmp_path / "a.png"
    path.write_bytes(data)
    shape = decode(path).pixels.shape
    rng = np.random.default_rng(0)
    variants = [data[:length] for length in np.linspace(0, len(data) - 1, 30).astype(int)]
    for _ in range(60):
        damaged = bytearray(data)
        for at in rng.integers(0, min(len(data), 200), 3):
            damaged[at] = rng.integers(256)
        variants.append(bytes(damaged))
    refused = 0
    for variant in variants:
        path.write_bytes(variant)
        try:
            found = decode(path).pixels
            image = read_image(path)
        except DataError:
            refused += 1
        else:
            assert image.shape[:2] == found.shape[:2]
    assert refused >= 10
    assert shape


def test_a_damaged_png_of_16_bit_prints_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    whole = png(rng.integers(0, 60_000, (40, 56, 3)), 16, COLOUR)
    start = whole.index(b"IDAT")
    for at in range(start, len(whole), 97):
        data = bytearray(whole)
        data[at] ^= 0xFF
        (tmp_path / "a.png").write_bytes(data)
        with contextlib.suppress(DataError):
            decode(tmp_path / "a.png")
    assert capfd.readouterr() == ("", "")


def test_orientation_of_a_png_is_found_wherever_it_stands(tmp_path: Path) -> None:
    tags = Image.Exif()
    tags[0x0112] = 6
    exif = tags.tobytes()[6:]
    whole = png(np.dstack([IDS] * 3)[:8], 8, COLOUR)
    end = whole.index(b"IEND") - 4
    (tmp_path / "a.png").write_bytes(whole[:end] + chunk(b"eXIf", exif) + whole[end:])
    assert read_header(tmp_path / "a.png").hw == (16, 8)
    assert read_image(tmp_path / "a.png").shape == (16, 8, 3)


def test_further_frames_are_said(tmp_path: Path) -> None:
    first, second = (Image.fromarray(picture(i)) for i in range(2))
    for name in ("a.gif", "a.webp", "a.png"):
        first.save(tmp_path / name, save_all=True, append_images=[second])
        assert read_header(tmp_path / name).pages == 2
    first.save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[second])
    assert read_header(tmp_path / "a.jpg").pages == 1
