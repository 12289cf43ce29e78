"""What is not opened: other formats by any name, pipes, devices, folders, and files that are too large."""

from __future__ import annotations

import os
import struct
import subprocess
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from samtune.data.images.decoding import decode, read_header
from samtune.errors import ConfigError, DataError
from tests.data.folders import picture, save
from tests.data.images.test_decoding import COLOUR, IDS, png

RGB = np.dstack([IDS] * 3)

OTHER_FORMATS: dict[str, tuple[bytes, str]] = {
    "EPS": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "PostScript"),
    "EPS with preview": (b"\xc5\xd0\xd3\xc6" + bytes(40), "PostScript"),
    "PDF": (b"%PDF-1.7\n", "PDF"),
    "Photoshop": (b"8BPS\0\1" + bytes(40), "Photoshop"),
    "JPEG 2000": (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    "HEIC": (b"\0\0\0\x18ftypheic" + bytes(20), "HEIC"),
    "AVIF": (b"\0\0\0\x18ftypavif" + bytes(20), "AVIF"),
    "DICOM": (bytes(128) + b"DICM" + bytes(20), "DICOM"),
    "icon": (b"\0\0\1\0\1\0" + bytes(40), "Windows icon"),
    "NumPy": (b"\x93NUMPY\1\0", "NumPy"),
    "ZIP": (b"PK\3\4" + bytes(40), "ZIP"),
    "LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
    "text": (b"hello, world\n", "text"),
    "HTML": (b"<!DOCTYPE html><html></html>", "HTML"),
    "noise": (bytes(range(7, 200)), "in no supported format"),
    "nothing": (b"", "empty"),
    "PAM": (b"P7\nWIDTH 1\nHEIGHT 1\nDEPTH 1\nMAXVAL 255\nENDHDR\n\0", "in no supported format"),
}


@pytest.mark.parametrize("name", OTHER_FORMATS)
@pytest.mark.parametrize("ending", [".png", ".tif"])
def test_other_formats_are_refused_by_name(name: str, ending: str, tmp_path: Path) -> None:
    data, says = OTHER_FORMATS[name]
    path = tmp_path / f"a{ending}"
    path.write_bytes(data)
    for read in (read_header, decode):
        with pytest.raises(DataError, match=says):
            read(path)


def test_postscript_never_reaches_another_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a program was started")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    monkeypatch.setattr(subprocess, "check_call", refuse)
    Image.fromarray(picture()).save(tmp_path / "a.png", "EPS")
    with pytest.raises(DataError, match="PostScript"):
        decode(tmp_path / "a.png")


def test_what_is_no_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "circle.png").symlink_to(tmp_path / "circle.png")
    (tmp_path / "dangling.png").symlink_to(tmp_path / "absent")
    cases = [
        (tmp_path / "pipe.png", "a named pipe"), (Path("/dev/zero"), "a device"), (tmp_path / "folder.png", "a folder"),
        (tmp_path / "circle.png", "cannot be decoded"), (tmp_path / "dangling.png", "no such file"),
        (tmp_path / "absent.png", "no such file"), (Path(f"{tmp_path}/{'a' * 5000}.png"), "cannot be decoded"),
        (tmp_path / "a\0.png", "cannot be decoded"),
    ]  # fmt: skip
    for path, says in cases:
        for read in (read_header, decode):
            with pytest.raises(DataError, match=says):
                read(path)


def test_threads_leave_the_filters_of_warnings_as_they_were(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", picture())
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: decode(path), range(300)))
    assert list(warnings.filters) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_permission_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "a.png", picture()).chmod(0)
    with pytest.raises(DataError, match="permissions"):
        decode(tmp_path / "a.png")


def bmp_of(width: int, height: int) -> bytes:
    return b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)


LARGE: dict[str, bytes] = {
    "PNG": png(RGB, 8, COLOUR, size=(100_000, 100_000)),
    "BMP": bmp_of(60_000, 60_000),
    "GIF": b"GIF89a" + struct.pack("<HH", 65535, 65535) + bytes(3) + b"," + bytes(30),
    "PPM": b"P6\n60000 60000\n255\n" + bytes(100),
}


@pytest.mark.parametrize("name", LARGE)
def test_too_many_pixels_are_refused_by_the_header(name: str, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(LARGE[name])
    for read in (read_header, decode):
        with pytest.raises(DataError, match="SAMTUNE_MAX_PIXELS"):
            read(tmp_path / "a.png")


@pytest.mark.parametrize(
    "data",
    [png(RGB, 8, COLOUR, size=(14_000, 14_000)), bmp_of(13_000, 13_000), b"P6\n13000 13000\n255\n" + bytes(999)],
    ids=["PNG", "BMP", "PPM"],
)
def test_more_pixels_than_a_file_can_hold_are_refused_by_the_header(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(DataError, match="fewer pixels than it declares"):
        read_header(tmp_path / "a.png")


def test_plain_images_compress_far_and_are_read(tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg", "a.gif", "a.webp", "a.tif"):
        Image.new("L", (3000, 3000), 7).save(tmp_path / name)
        assert decode(tmp_path / name).header.hw == (3000, 3000)
    Image.new("1", (6000, 6000)).save(tmp_path / "b.png", optimize=True)
    Image.new("L", (4000, 4000)).save(tmp_path / "b.jpg", quality=1, optimize=True, progressive=True)
    for name in ("b.png", "b.jpg"):
        decode(tmp_path / name)


def test_limits_are_set_by_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "a.png", picture())
    num = 24 * 32
    monkeypatch.setenv("SAMTUNE_MAX_PIXELS", str(num))
    assert decode(path).pixels.shape == (24, 32, 3)
    monkeypatch.setenv("SAMTUNE_MAX_PIXELS", str(num - 1))
    with pytest.raises(DataError, match=r"24 x 32 pixels, more than the limit of 767"):
        decode(path)
    monkeypatch.delenv("SAMTUNE_MAX_PIXELS")
    monkeypatch.setenv("SAMTUNE_MAX_BYTES", str(num * 3 - 1))
    with pytest.raises(DataError, match="SAMTUNE_MAX_BYTES"):
        decode(path)
    monkeypatch.setenv("SAMTUNE_MAX_BYTES", str(path.stat().st_size - 1))
    with pytest.raises(DataError, match=r"the file has .* bytes"):
        decode(path)


def test_a_raised_limit_lets_images_through_that_pillow_alone_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert decode(save(tmp_path / "a.png", picture())).pixels.shape == (24, 32, 3)


@pytest.mark.parametrize("value", ["0", "-5", "many", "1e9", "²", "9" * 5000])
def test_limits_that_are_no_number_are_refused(value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMTUNE_MAX_PIXELS", value)
    with pytest.raises(ConfigError, match="environment variable `SAMTUNE_MAX_PIXELS`"):
        decode(save(tmp_path / "a.png", picture()))
