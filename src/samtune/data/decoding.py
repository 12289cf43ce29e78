"""Image files as they are on disk: one decoder for images and masks.

Nothing is scaled or reinterpreted here: palettes stay indices, 16 bit stays 16 bit. Only the EXIF rotation
is applied.
"""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from samtune.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Image.init()
IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".jfif", ".tif", ".tiff", ".bmp", ".webp", ".gif", ".pgm", ".ppm"})
"""File name endings (lower case) that are taken for images; anything else is left out, and said."""

LOSSY_FORMATS = frozenset({"JPEG", "MPO", "JPEG2000"})
ORIENTATION_TAG = 0x0112
WIDTH_TAG, HEIGHT_TAG, BITS_PER_SAMPLE_TAG = 256, 257, 258


@dataclass(frozen=True)
class Header:
    """What a file says of itself without being decoded.

    Attributes:
        hw: rows and columns after the EXIF rotation.
        orientation: EXIF orientation 1..8; 1 is upright.
        mode: Pillow's mode, or "deep" where Pillow would lose bits and OpenCV reads the file.
        pages: how many pages (frames) the file has; only the first is ever used.
        lossy: whether the format changes pixel values (JPEG, lossy WebP).
    """

    hw: tuple[int, int]
    orientation: int
    mode: str
    pages: int
    lossy: bool


@dataclass(frozen=True)
class Raw:
    """A decoded file.

    Attributes:
        pixels: (H, W) or (H, W, C), channels in the order L / LA / RGB / RGBA; palette indices for palette
            files; 0/255 for bilevel files; the file's own integer or float type else. Upright (EXIF applied).
        palette: uint8 (256, 3) RGB of each index, or None.
        header: what the file says of itself.
    """

    pixels: np.ndarray
    palette: np.ndarray | None
    header: Header


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """The file opened by Pillow, its warnings kept quiet, its failures told in one sentence."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                yield image
    except FileNotFoundError as error:
        raise DataError(f"{path}: there is no such file") from error
    except Image.DecompressionBombError as error:
        raise DataError(f"{path}: images must have fewer than 178 million pixels; cut it into tiles first") from error
    except UnidentifiedImageError as error:
        raise DataError(f"{path}: must be an image file, but no decoder recognises it; save it as PNG") from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        what = "it is empty" if path.is_file() and path.stat().st_size == 0 else str(error) or "it is damaged"
        raise DataError(
            f"{path}: must be a whole image, but cannot be decoded ({what}); copy it again or remove it"
        ) from error


def _is_deep(image: Image.Image, path: Path) -> bool:
    """Whether the file has several channels of more than 8 bit, which Pillow would cut to 8."""
    if image.format == "PNG":
        with path.open("rb") as file:
            start = file.read(26)
        return len(start) == 26 and start[24] == 16 and start[25] in (2, 4, 6)
    if image.format == "TIFF":
        tags: Any = getattr(image, "tag_v2", {})
        bits = tags.get(BITS_PER_SAMPLE_TAG, (8,))
        bits = (bits,) if isinstance(bits, int) else bits
        return len(bits) > 1 and max(bits) > 8
    return False


def _is_lossy(image: Image.Image, path: Path) -> bool:
    if image.format == "WEBP":
        with path.open("rb") as file:
            return b"VP8L" not in file.read(65536)
    return image.format in LOSSY_FORMATS


def _header(image: Image.Image, path: Path) -> Header:
    orientation = image.getexif().get(ORIENTATION_TAG, 1)
    if orientation not in range(1, 9):
        orientation = 1
    # Pillow's versions differ in when they swap the size of a rotated TIFF: its tags hold the stored frame.
    tags: Any = getattr(image, "tag_v2", {}) if image.format == "TIFF" else {}
    width, height = tags.get(WIDTH_TAG, image.size[0]), tags.get(HEIGHT_TAG, image.size[1])
    hw = (width, height) if orientation >= 5 else (height, width)
    mode = "deep" if _is_deep(image, path) else image.mode
    pages = 1 if image.format == "MPO" else int(getattr(image, "n_frames", 1))
    return Header(hw, orientation, mode, pages, _is_lossy(image, path))


def read_header(path: Path) -> Header:
    """What `path` says of itself; decodes nothing unless only OpenCV can read the file.

    Raises:
        DataError: the file is missing or is no image.
    """
    try:
        with _opened(path) as image:
            return _header(image, path)
    except DataError:
        if path.suffix.lower() not in (".tif", ".tiff") or not path.is_file():
            raise
        return _decode_deep(path, 1).header


def is_complete(path: Path) -> bool:
    """Whether the file ends as its format must; cheap, and False only sends the caller to a real decoding."""
    with path.open("rb") as file:
        start = file.read(12)
        file.seek(0, 2)
        length = file.tell()
        file.seek(max(0, length - 4096))
        tail = file.read()
    if start[:8] == b"\x89PNG\r\n\x1a\n":
        return b"IEND" in tail
    if start[:2] == b"\xff\xd8":
        return b"\xff\xd9" in tail
    if start[:4] == b"RIFF":
        return length >= int.from_bytes(start[4:8], "little") + 8
    if start[:2] == b"BM":
        return length >= int.from_bytes(start[2:6], "little")
    return False


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """`pixels` (H, W) or (H, W, C) turned and mirrored as EXIF orientation 1..8 asks for display."""
    turns: dict[int, Any] = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: np.rot90(a, 2),
        4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
        8: lambda a: np.rot90(a, 1),
    }
    turned: np.ndarray = np.ascontiguousarray(turns[orientation](pixels))
    return turned


def _decode_deep(path: Path, orientation: int) -> Raw:
    """Decode by OpenCV, which keeps 16 bit and float in several channels."""
    data = np.fromfile(path, dtype=np.uint8)
    try:
        pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    except cv2.error:
        pixels = None
    if pixels is None:
        raise DataError(f"{path}: must be a whole image, but cannot be decoded; save it as PNG or copy it again")
    if pixels.ndim == 3 and pixels.shape[2] >= 3:
        order = [2, 1, 0, *range(3, pixels.shape[2])]
        pixels = pixels[..., order]
    pixels = upright(pixels, orientation)
    return Raw(pixels, None, Header(pixels.shape[:2], orientation, "deep", 1, False))


def _pixels_of(image: Image.Image) -> tuple[np.ndarray, np.ndarray | None]:
    """The loaded image as an array, and its palette."""
    mode = image.mode
    if mode == "1":
        return np.asarray(image, dtype=np.uint8) * np.uint8(255), None
    if mode == "P":
        palette = np.zeros((256, 3), np.uint8)
        flat = np.asarray(image.getpalette("RGB") or [], dtype=np.uint8).reshape(-1, 3)[:256]
        palette[: len(flat)] = flat
        return np.asarray(image), palette
    if mode == "PA":
        return np.asarray(image.convert("RGBA")), None
    if mode in ("L", "LA", "RGB", "RGBA", "I", "F") or mode.startswith("I;16"):
        pixels = np.asarray(image)
        return (pixels.astype(np.uint16) if mode.startswith("I;16") else pixels), None
    return np.asarray(image.convert("RGB")), None


def decode(path: Path) -> Raw:
    """The first page of an image file, upright and otherwise untouched.

    Raises:
        DataError: the file is missing, is no image, is truncated or damaged.
    """
    try:
        with _opened(path) as image:
            header = _header(image, path)
            if header.mode != "deep":
                image.load()
                # Pillow turns a TIFF upright while loading and drops the tag; other formats are left to us.
                left = image.getexif().get(ORIENTATION_TAG, 1)
                pixels, palette = _pixels_of(image)
                turned = upright(pixels, left if left in range(1, 9) else 1)
                return Raw(turned, palette, header)
    except DataError:
        if path.suffix.lower() not in (".tif", ".tiff") or not path.is_file():
            raise
        return _decode_deep(path, 1)
    deep = _decode_deep(path, header.orientation)
    return Raw(deep.pixels, None, header)
