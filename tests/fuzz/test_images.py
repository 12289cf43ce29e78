"""Image files, damaged: `read_header` and `read_image` give a picture or one sentence."""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from samtune.data.images.decoding import IMAGE_SUFFIXES, read_header
from samtune.data.images.reading import read_image
from samtune.errors import SamTuneError
from tests.fuzz.guard import cases, survives
from tests.fuzz.mutations import damaged


@pytest.fixture(autouse=True, scope="module")
def limits() -> Iterator[None]:
    """Limits that leave room below the guard's 1 GB; the usual ones allow images of 2 GB."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAMTUNE_MAX_BYTES", str(64 * 2**20))
        patch.setenv("SAMTUNE_MAX_PIXELS", "20000000")
        yield


@cache
def contents() -> tuple[bytes, ...]:
    """Small valid files of every format, depth and way to store."""
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
    grey, deep = rgb[..., 0], rng.integers(0, 65536, (12, 16), dtype=np.uint16)
    made: list[bytes] = []

    def pillow(pixels: np.ndarray, form: str, mode: str | None = None, **how: Any) -> None:
        out = io.BytesIO()
        image = Image.fromarray(pixels)
        (image if mode is None else image.convert(mode)).save(out, form, **how)
        made.append(out.getvalue())

    def tiff(pixels: np.ndarray, **how: Any) -> None:
        out = io.BytesIO()
        tifffile.imwrite(out, pixels, **how)
        made.append(out.getvalue())

    for form in ("PNG", "JPEG", "BMP", "GIF", "WEBP", "PPM", "TIFF"):
        pillow(rgb, form)
    for mode in ("1", "P", "LA", "RGBA"):
        pillow(rgb, "PNG", mode)
    pillow(rgb, "JPEG", "CMYK")
    pillow(rgb, "TIFF", "P")
    pillow(deep, "PNG")
    pillow(grey, "PNG")
    pillow(
        grey,
        "JPEG",
        exif=b"Exif\x00\x00II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00",
    )
    tiff(grey)
    tiff(deep, bigtiff=True)
    tiff(deep.astype(np.float32), compression="zlib", predictor=True)
    tiff(rgb, compression="lzw")
    tiff(np.moveaxis(deep[..., None].repeat(3, 2), 2, 0), planarconfig="separate", photometric="rgb")
    tiff(np.zeros((64, 64), np.uint8), tile=(16, 16))
    tiff(np.zeros((3, 12, 16), np.uint8), photometric="minisblack")
    tiff(grey > 127)
    tiff(deep.astype(np.int32), byteorder=">")
    tiff(deep, extratags=[(42113, "s", 4, "0", True)])
    return tuple(made)


@cases(500)
@given(content=st.deferred(lambda: damaged(contents())), suffix=st.sampled_from(sorted(IMAGE_SUFFIXES)))
def test_an_image_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes, suffix: str) -> None:
    file = Path(tmp_path_factory.getbasetemp()) / f"fuzz{suffix}"
    file.write_bytes(content)
    survives(lambda: read_header(file))
    image = survives(lambda: read_image(file))
    if not isinstance(image, SamTuneError):
        assert image.dtype == np.uint8
        assert image.ndim == 3
        assert image.shape[2] == 3
