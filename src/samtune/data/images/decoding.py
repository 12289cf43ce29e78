"""The decoder of image files, for images and masks.

Samples are returned as stored: palette files give indices, 16-bit files 16 bit, a 2-bit file the values 0..3, and
files that store white as zero are not inverted. Only the EXIF orientation is applied, and CMYK and YCbCr become RGB.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO

import imagecodecs
import numpy as np
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    WebPImagePlugin,
)

from samtune.data.images.limits import check_image_size
from samtune.data.images.opening import open_image_file
from samtune.data.images.raw import Header, Raw, Samples, upright
from samtune.data.images.tiff import decode_tiff, read_tiff_header
from samtune.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".jfif", ".tif", ".tiff", ".bmp", ".webp", ".gif", ".pgm", ".ppm"})
"""Suffixes of image files, in lower case; files with other suffixes are left out, with a note."""

PLUGINS: dict[str, Any] = {
    "PNG": PngImagePlugin.PngImageFile,
    "JPEG": JpegImagePlugin.jpeg_factory,
    "BMP": BmpImagePlugin.BmpImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "PPM": PpmImagePlugin.PpmImageFile,
}
"""Pillow's readers of the supported formats. They are called directly, because `Image.open` tries every format that
Pillow knows, among them PostScript by Ghostscript, and has its own limit on pixels."""

ORIENTATION_TAG = 0x0112
PNG_METADATA = frozenset({b"eXIf", b"tEXt", b"zTXt", b"iTXt"})
BYTES_PER_PIXEL = {"1": 1, "L": 1, "P": 1, "LA": 2, "I;16": 2, "RGB": 3, "RGBA": 4, "CMYK": 4, "I": 4, "F": 4}
MIN_BITS = {"raw": 1.0, "zip": 1 / 1100, "jpeg": 1 / 64}
"""Smallest number of bits in the file for each pixel, by Pillow's name of the codec. A file that declares more pixels
is truncated or forged, and is refused before memory is allocated. Deflate packs at most 1,032 bytes into one; a block
of JPEG has 8 x 8 pixels."""

MARGIN = 100_000
"""Pixels that a file may declare beyond `MIN_BITS`, for small files."""

CHANNELS = {"LA": 2, "RGB": 3, "RGBA": 4, "RGBX": 4, "CMYK": 4}


def read_header(path: Path) -> Header:
    """Return the properties that an image file declares, without decoding its pixels.

    Raises:
        DataError: the file is missing, not an image, or too large (see `limits`).
    """
    with open_image_file(path) as (file, form):
        if form == "TIFF":
            return read_tiff_header(file, path)
        with _opened(file, form, path) as image:
            return _header(image, file, form)


def decode(path: Path) -> Raw:
    """Decode the first page of an image file; it is upright and otherwise as stored.

    Raises:
        DataError: the file is missing, not an image, truncated, damaged or too large (see `limits`).
    """
    with open_image_file(path) as (file, form):
        if form == "TIFF":
            return decode_tiff(file, path)
        with _opened(file, form, path) as image:
            header = _header(image, file, form)
            palette = None
            if header.samples.bits > 8 and header.channels > 1:
                pixels = _deep_png(file, header, path) if form == "PNG" else _deep_ppm(image, file)
            else:
                image.load()
                pixels, palette = _pixels_of(image)
                pixels = _stored(pixels, header.samples, image.mode)
    return Raw(upright(pixels, header.orientation), palette, header)


def is_complete(path: Path) -> bool:
    """Return whether a file ends as its format requires: a quick test, False where only decoding can tell."""
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


def _opened(file: BinaryIO, form: str, path: Path) -> ImageFile.ImageFile:
    """Return the file as a Pillow image, not yet loaded, after checking its size."""
    try:
        image: ImageFile.ImageFile = PLUGINS[form](file, path.name)
    except SyntaxError as error:
        # Pillow raises it for a file that does not start as its format requires.
        raise DataError(f"{path}: the {form} file is damaged ({error}); copy it again or remove it") from error
    here = file.tell()
    check_image_size(path, (image.size[1], image.size[0]), BYTES_PER_PIXEL.get(image.mode, 4))
    min_bits = MIN_BITS.get(image.tile[0].codec_name if image.tile else "", 0.0)
    if image.size[0] * image.size[1] * min_bits > 8 * file.seek(0, 2) + MARGIN:
        raise DataError(f"{path}: the {form} file is truncated: it holds fewer pixels than it declares; copy it again")
    file.seek(here)
    return image


def _header(image: Image.Image, file: BinaryIO, form: str) -> Header:
    """Return the properties of an image that Pillow opened."""
    samples = _samples(image, file, form)
    # Pillow decodes a whole PNG to find that it has no EXIF.
    orientation = 1 if form == "PNG" and not _has_metadata(file) else image.getexif().get(ORIENTATION_TAG, 1)
    if orientation not in range(1, 9):
        orientation = 1
    width, height = image.size
    hw = (width, height) if orientation >= 5 else (height, width)
    mode = {"1": "L", "I": "L", "F": "L", "PA": "RGBA", "RGBX": "RGB"}.get(image.mode, image.mode)
    mode = "L" if mode.startswith("I;16") else mode
    # Frames of a GIF are not counted, because that reads all of it.
    pages = 1 if image.format == "MPO" else 1 + bool(getattr(image, "is_animated", False))
    lossy = form == "JPEG" or (form == "WEBP" and b"VP8L" not in _start_of(file, 65536))
    return Header(hw, orientation, mode, CHANNELS.get(mode, 1), pages, lossy, samples)


def _has_metadata(file: BinaryIO) -> bool:
    """Return whether a PNG file has a chunk that may hold an orientation; the file position is kept."""
    here = file.tell()
    file.seek(8)
    kind = b""
    while kind not in PNG_METADATA:
        start = file.read(8)
        if len(start) < 8:
            break
        kind = start[4:]
        file.seek(int.from_bytes(start[:4], "big") + 4, 1)
    file.seek(here)
    return kind in PNG_METADATA


def _start_of(file: BinaryIO, num: int) -> bytes:
    """Return the first bytes of a file; the file position is kept."""
    here = file.tell()
    file.seek(0)
    start = file.read(num)
    file.seek(here)
    return start


def _samples(image: Image.Image, file: BinaryIO, form: str) -> Samples:
    """Return depth and range of the samples as stored, which Pillow may convert."""
    if image.mode == "P":
        return Samples()
    if form == "PNG":
        bits = _start_of(file, 26)[24]
        return Samples(bits, top=2**bits - 1)
    if form == "PPM":
        top = _pnm_top(_start_of(file, 4096))
        return Samples(top.bit_length(), top=top, white_is_zero=image.mode == "1")
    return Samples(1, top=1) if image.mode == "1" else Samples()


def _pnm_top(start: bytes) -> int:
    """Return the highest sample value that a PBM, PGM or PPM file declares."""
    lines = [line.split(b"#")[0] for line in start.replace(b"\r", b"\n").split(b"\n")]
    words = b" ".join(lines).split(maxsplit=4)
    return 1 if words[0] in (b"P1", b"P4") else int(words[3])


def _deep_png(file: BinaryIO, header: Header, path: Path) -> np.ndarray:
    """Decode a PNG of 16 bit in several channels, which Pillow reduces to 8 bit: uint16 (H, W, C)."""
    file.seek(0)
    pixels: np.ndarray = imagecodecs.png_decode(file.read())
    if pixels.ndim != 3 or pixels.dtype != np.uint16:
        raise DataError(f"{path}: the PNG file is damaged; copy it again or remove it")
    if pixels.shape[2] < header.channels:
        # Pillow expands grey with alpha to RGBA.
        pixels = pixels[..., [0, 0, 0, 1]]
    return np.ascontiguousarray(pixels[..., : header.channels])


def _deep_ppm(image: ImageFile.ImageFile, file: BinaryIO) -> np.ndarray:
    """Decode a binary PPM of more than 8 bit, which Pillow reduces to 8 bit: uint16 (H, W, 3)."""
    if image.tile[0].codec_name == "ppm_plain":
        raise ValueError("a plain-text PPM of more than 8 bit is not read; save it as PNG or TIFF")
    file.seek(image.tile[0].offset)
    shape = (image.size[1], image.size[0], 3)
    num = shape[0] * shape[1] * 3
    return np.frombuffer(file.read(2 * num), ">u2", num).reshape(shape).astype(np.uint16)


def _pixels_of(image: Image.Image) -> tuple[np.ndarray, np.ndarray | None]:
    """Return a loaded image as an array, and its palette."""
    mode = image.mode
    if mode == "1":
        return np.asarray(image, dtype=np.uint8), None
    if mode == "P":
        palette = np.zeros((256, 3), np.uint8)
        flat = np.asarray(image.getpalette("RGB") or [], dtype=np.uint8).reshape(-1, 3)[:256]
        palette[: len(flat)] = flat
        return np.asarray(image), palette
    if mode == "PA":
        return np.asarray(image.convert("RGBA")), None
    if mode in ("L", "LA", "RGB", "RGBA", "I", "F") or mode.startswith("I;16"):
        pixels = np.asarray(image)
        return (pixels.astype(np.uint16) if mode.startswith("I") else pixels), None
    return np.asarray(image.convert("RGB")), None


def _stored(pixels: np.ndarray, samples: Samples, mode: str) -> np.ndarray:
    """Return the samples as stored, with Pillow's inversion and scaling undone; `mode` is Pillow's."""
    if mode == "1":
        return 1 - pixels if samples.white_is_zero else pixels
    full = 255 if samples.bits <= 8 else 65535
    if samples.top == full:
        return pixels
    stored: np.ndarray = np.rint(pixels.astype(np.float32) * (samples.top / full)).astype(pixels.dtype)
    return stored
