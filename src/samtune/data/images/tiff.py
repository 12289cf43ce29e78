"""The decoder of TIFF files, by tifffile: the first page, of any byte order, compression, tiling and depth."""

from __future__ import annotations

import logging
import re
import struct
from dataclasses import dataclass
from math import ceil, prod
from typing import TYPE_CHECKING, Any, BinaryIO

import cv2
import numpy as np
import tifffile

from samtune.data.images.limits import check_image_size
from samtune.data.images.raw import Header, Raw, Samples, upright
from samtune.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

# These libraries log oddities of files, and Python prints such records where no logging is configured.
for _name in ("tifffile", "imagecodecs"):
    logging.getLogger(_name).addHandler(logging.NullHandler())

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, _, CMYK, YCBCR = range(7)
"""Values of the tag PhotometricInterpretation that are read; 4 is a transparency mask."""

PHOTOMETRICS = {
    8: "CIELab", 9: "ICCLab", 10: "ITULab", 32803: "a raw colour filter array", 32844: "LogL", 32845: "LogLuv",
    34892: "linear raw", 51177: "a depth map",
}  # fmt: skip
"""Values that are not read, with their names."""

JPEG = frozenset({6, 7})
JPEG_2000 = frozenset({33003, 33004, 33005, 34712})
WEBP = 50001
COMPRESSIONS = frozenset({1, 2, 3, 4, 5, 8, 32773, 32946, 34925, 50000, WEBP}) | JPEG | JPEG_2000
"""Compressions that are read: none, CCITT, LZW, JPEG, Deflate, PackBits, LZMA, Zstandard, WebP, JPEG 2000. The size of
their output can be bounded before decoding."""

MAX_RATIO = {5: 3_000, 6: 3_200, 7: 3_200, 8: 1_100, 32946: 1_100, 32773: 70}
"""Largest number of bytes from one byte of LZW, JPEG (one bit for a block of 8 x 8), Deflate and PackBits; a file that
declares more is damaged."""

MAX_COUNTED = 1_000
"""Largest number of pages that are counted."""

MAX_SEGMENTS = 250_000
"""Largest number of strips or tiles of a page."""

REDUCED, MASK = 1, 4
"""Bits of the tag NewSubfileType: a smaller version, or a transparency mask, of another page."""


@dataclass(frozen=True)
class _Page:
    """A page of a supported kind and a size within the limits.

    Attributes:
        page: tifffile's page.
        photometric: 0..6, as above.
        header: the properties that the page declares.
    """

    page: Any
    photometric: int
    header: Header


def read_tiff_header(file: BinaryIO, path: Path) -> Header:
    """Return the properties that a TIFF file declares for its first page.

    Raises:
        DataError: the file is of an unsupported kind, or too large.
        Exception: any error that tifffile raises for a damaged file.
    """
    with tifffile.TiffFile(file, name=path.name) as tiff:
        return _checked(tiff, file, path).header


def decode_tiff(file: BinaryIO, path: Path) -> Raw:
    """Decode the first page of a TIFF file.

    Raises:
        DataError: the file is of an unsupported kind, too large or truncated.
        Exception: any error that tifffile raises for a damaged file.
    """
    with tifffile.TiffFile(file, name=path.name) as tiff:
        checked = _checked(tiff, file, path)
        page, header = checked.page, checked.header
        _check_segments(page, path)
        # The axes are (planes, depth, H, W, channels); of a volume the first slice is used.
        pixels = page.asarray(squeeze=False, maxworkers=1)[:, 0]
        palette = _palette(page, path) if header.mode == "P" else None
    pixels = np.moveaxis(pixels[..., 0], 0, -1) if pixels.shape[0] > 1 else pixels[0]
    if pixels.dtype == bool:
        pixels = pixels.astype(np.uint8)
    pixels = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    if pixels.dtype.kind == "f" and np.isnan(pixels).any():
        # Signalling NaNs would warn in every computation.
        pixels = np.where(np.isnan(pixels), pixels.dtype.type(np.nan), pixels)
    if header.mode == "CMYK":
        pixels = _from_cmyk(pixels)
    elif checked.photometric == YCBCR and header.mode == "RGB" and page.compression not in JPEG:
        pixels = _from_ycbcr(pixels, path)
    if palette is not None or pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    return Raw(upright(pixels, header.orientation), palette, header)


def _checked(tiff: tifffile.TiffFile, file: BinaryIO, path: Path) -> _Page:
    """Return the first page at full size, after all checks that do not need its pixels."""
    page = _full_page(tiff)
    _check_kind(page, path)
    channels, depth = page.samplesperpixel, page.imagedepth
    hw = (page.imagelength, page.imagewidth)
    check_image_size(path, hw, channels * depth * page.dtype.itemsize)
    if prod(page.shaped) != hw[0] * hw[1] * channels * depth:
        raise DataError(f"{path}: the TIFF is damaged: its tags contradict each other; export it again")
    compression = int(page.compression)
    photometric = int(page.photometric) if 262 in page.tags or compression == 6 else BLACK_IS_ZERO
    if photometric not in range(7):
        named = PHOTOMETRICS.get(photometric, f"in colours of an unknown kind ({photometric})")
        raise DataError(f"{path}: the TIFF is {named}, which is not read; save it as RGB or grey")
    orientation = page.tags.valueof(274)
    orientation = orientation if orientation in range(1, 9) else 1
    mode, notes = _mode(page, photometric)
    if page is not tiff.pages[0]:
        notes = (*notes, "with a preview before the image: skipped")
    lossy = compression in JPEG | {WEBP, 33003, 33004, 33005}
    header = Header(
        hw[::-1] if orientation >= 5 else hw, orientation, mode, channels,
        max(_num_pages(tiff, page, file), depth), lossy, _samples(page, photometric), notes,
    )  # fmt: skip
    return _Page(page, photometric, header)


def _full_page(tiff: tifffile.TiffFile) -> Any:
    """Return the first page that is not a preview or mask of another page; the first page if there is none."""
    page: Any = tiff.pages[0]
    if int(page.subfiletype) & (REDUCED | MASK):
        others = [other for other in tiff.pages[:16] if not int(other.aspage().subfiletype) & (REDUCED | MASK)]
        page = others[0].aspage() if others else page
    return page


def _check_kind(page: Any, path: Path) -> None:
    """Check that the sample type and the compression of a page are supported.

    Raises:
        DataError: they are not.
    """
    if page.dtype is None or page.dtype.kind not in "buif" or not isinstance(page.bitspersample, int | tuple):
        raise DataError(
            f"{path}: the TIFF has samples of {page.bitspersample} bit of a kind that is not read "
            f"(SampleFormat {int(page.sampleformat)}); save it with 8 or 16 bit, or 32-bit floating point"
        )
    compression = int(page.compression)
    if compression not in COMPRESSIONS:
        raise DataError(
            f"{path}: the TIFF is compressed by {getattr(page.compression, 'name', compression)}, which is not read; "
            "save it with LZW or Deflate"
        )
    if compression in JPEG and page.bitspersample not in (8, 12, 16):
        raise DataError(f"{path}: the TIFF is damaged: it declares JPEG of {page.bitspersample} bit; export it again")


def _mode(page: Any, photometric: int) -> tuple[str, tuple[str, ...]]:
    """Return `Header.mode`, and clauses on how the channels are interpreted."""
    channels = page.samplesperpixel
    colours = {RGB: 3, YCBCR: 3, CMYK: 4}.get(photometric, 1)
    extra = page.tags.valueof(338)
    extra = (extra,) if isinstance(extra, int) else tuple(extra or ())
    alpha = bool(extra) and int(extra[-1]) in (1, 2) and channels > 1
    rest = channels - alpha
    if photometric == PALETTE:
        return "P", ()
    if rest < colours:
        # GDAL writes RGB images that lack a band like this.
        return ("bandsA" if alpha else "bands"), ()
    if photometric == CMYK:
        return "CMYK", (() if channels == 4 else ("with channels beyond cyan, magenta, yellow and black: dropped",))
    if rest == colours:
        return {(1, False): "L", (1, True): "LA", (3, False): "RGB", (3, True): "RGBA"}[rest, alpha], ()
    if colours == 3 and rest == 4 and not alpha:
        return "bands", ("with a fourth band beside red, green and blue: dropped",)
    if rest == 3:
        return ("bandsA" if alpha else "bands"), (
            "with three bands whose colours the file does not name: read as red, green and blue",
        )
    if rest == 4:
        return ("bandsA" if alpha else "bands"), (
            "with four bands whose colours the file does not name: the first three read as red, green and blue, the "
            "fourth dropped",
        )
    return ("bandsA" if alpha else "bands"), ()


def _samples(page: Any, photometric: int) -> Samples:
    """Return depth and range of the samples, and the value of missing ones."""
    if photometric == PALETTE:
        return Samples(nodata=_nodata(page))
    # Samples of unequal depth, such as 5, 6 and 5 bit, are brought to 8 by tifffile.
    bits = page.bitspersample if isinstance(page.bitspersample, int) else page.dtype.itemsize * 8
    kind = "u" if page.dtype.kind in "bu" else page.dtype.kind
    return Samples(bits, kind, 2**bits - 1, photometric == WHITE_IS_ZERO, _nodata(page))


def _nodata(page: Any) -> float | None:
    """Return GDAL's nodata value as the type of this page represents it, None where no sample can have it."""
    text = page.tags.valueof(42113)
    if not isinstance(text, str):
        return None
    try:
        value = float(text.strip(" \0").replace(",", "."))
    except ValueError:
        return None
    if np.isnan(value):
        return None  # NaN counts as missing anyway
    if page.dtype.kind == "f":
        with np.errstate(over="ignore"):
            return float(page.dtype.type(value))
    if page.dtype.kind == "b" or not value.is_integer():
        return None
    limits = np.iinfo(page.dtype)
    return value if limits.min <= value <= limits.max else None


def _num_pages(tiff: tifffile.TiffFile, page: Any, file: BinaryIO) -> int:
    """Return the number of pages without overviews and transparency masks, by following the chain of offsets."""
    images = re.match(r"ImageJ=.*?^images=(\d{1,9})", page.description, re.DOTALL | re.MULTILINE)
    if images is not None:
        # ImageJ writes large stacks as one page, with the number of images in the description.
        return max(1, int(images[1]))
    layout: Any = tiff.tiff
    seen: set[int] = set()
    num, offset = 0, int(tiff.pages.first.offset)
    here = file.tell()
    while offset and offset not in seen and len(seen) < MAX_COUNTED:
        seen.add(offset)
        try:
            file.seek(offset)
            (num_tags,) = struct.unpack(layout.tagnoformat, file.read(layout.tagnosize))
            tag = file.read(layout.tagsize)  # the tags are sorted, and NewSubfileType has the lowest number
            code = struct.unpack(layout.tagformat1, tag[:4])[0]
            value = struct.unpack(f"{layout.byteorder}I", tag[-layout.offsetsize :][:4])[0]
            file.seek(offset + layout.tagnosize + num_tags * layout.tagsize)
            (following,) = struct.unpack(layout.offsetformat, file.read(layout.offsetsize))
        except (struct.error, OSError, OverflowError):
            break  # the chain is cut off; the first page may be whole
        num += code != 254 or not value & (REDUCED | MASK)
        offset = following
    file.seek(here)
    return max(1, num)


def _check_segments(page: Any, path: Path) -> None:
    """Check that the strips or tiles lie within the file and can hold the image, before memory is allocated.

    Raises:
        DataError: the file is truncated, or declares more than it can hold.
    """
    offsets, counts = list(page.dataoffsets), list(page.databytecounts)
    file_size = page.parent.filehandle.size
    if page.is_tiled:
        bytes_per_pixel = page.samplesperpixel * page.tiledepth * page.dtype.itemsize
        check_image_size(path, (page.tilelength, page.tilewidth), bytes_per_pixel)
    num = prod(page.chunked)
    if num > MAX_SEGMENTS:
        raise DataError(f"{path}: the TIFF has {num:,} strips or tiles, more than {MAX_SEGMENTS:,}; save it again")
    if len(offsets) < num or len(counts) < num:
        raise _truncated(path)
    used = [(o, c) for o, c in zip(offsets[:num], counts[:num], strict=True) if o > 0 and c > 0]
    if not used:
        raise DataError(f"{path}: the TIFF holds a header without pixels; export it again")
    bits = (
        page.bitspersample if isinstance(page.bitspersample, int) else sum(page.bitspersample) // page.samplesperpixel
    )
    needed = prod(page.shaped) * bits // 8
    compression = int(page.compression)
    if compression == 1:
        if any(o >= file_size for o, _ in used) or (len(used) == num and file_size < needed):
            raise _truncated(path)
        return
    if any(o + c > file_size for o, c in used):
        raise _truncated(path)
    if len(used) == num and sum(c for _, c in used) * MAX_RATIO.get(compression, needed) < needed:
        raise _truncated(path)
    if compression in JPEG | JPEG_2000 | {WEBP}:
        _check_codestreams(page, used, path)


def _truncated(path: Path) -> DataError:
    return DataError(f"{path}: the TIFF is truncated: it holds fewer pixels than it declares; copy it again")


def _check_codestreams(page: Any, used: list[tuple[int, int]], path: Path) -> None:
    """Check the size of strips or tiles that are JPEG, JPEG 2000 or WebP images of their own."""
    limit_hw = (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, page.imagewidth)
    handle = page.parent.filehandle
    for offset, count in used:
        handle.seek(offset)
        hw = _codestream_hw(handle.read(min(count, 65_536)))
        # The last strip may be as high as the others, rounded up to whole blocks.
        if hw is not None and (hw[0] > ceil(limit_hw[0] / 32) * 32 or hw[1] > limit_hw[1]):
            raise DataError(f"{path}: the TIFF is damaged: a part of it is larger than the image; export it again")


def _codestream_hw(data: bytes) -> tuple[int, int] | None:
    """Return the rows and columns that a JPEG, JPEG 2000 or WebP stream declares, None if it does not."""
    if data[:4] == b"RIFF":
        if data[12:16] == b"VP8X":
            return 1 + int.from_bytes(data[27:30], "little"), 1 + int.from_bytes(data[24:27], "little")
        if data[12:16] == b"VP8L":
            sides = int.from_bytes(data[21:25], "little")
            return 1 + (sides >> 14 & 0x3FFF), 1 + (sides & 0x3FFF)
        return int.from_bytes(data[28:30], "little") & 0x3FFF, int.from_bytes(data[26:28], "little") & 0x3FFF
    siz = data.find(b"\xff\x51\0")
    if data[:2] == b"\xff\x4f" or data[4:8] == b"jP  ":
        words = struct.unpack(">4I", data[siz + 6 : siz + 22])
        return words[1] - words[3], words[0] - words[2]
    at = 2
    while at + 9 <= len(data):
        if data[at] != 0xFF:
            at += 1
            continue
        marker = data[at + 1]
        if marker in {0xFF, 0x00, 0x01} or 0xD0 <= marker <= 0xD8:
            at += 1 if marker == 0xFF else 2
        elif 0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}:
            return int.from_bytes(data[at + 5 : at + 7], "big"), int.from_bytes(data[at + 7 : at + 9], "big")
        elif marker in {0xD9, 0xDA}:
            return None
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


def _palette(page: Any, path: Path) -> np.ndarray:
    """Return the palette as uint8 (N, 3) RGB.

    Raises:
        DataError: the page has no palette.
    """
    colours = page.colormap
    if not isinstance(colours, np.ndarray) or colours.ndim != 2 or page.dtype.kind not in "bu":
        raise DataError(f"{path}: the TIFF has palette indices but no palette; save it as RGB or grey")
    # The standard requires 16 bit; some writers fill only the low 8.
    shift = 8 if colours.max() > 255 else 0
    palette = np.zeros((max(256, 2 ** (8 * page.dtype.itemsize)), 3), np.uint8)
    palette[: colours.shape[1]] = (colours >> shift).astype(np.uint8).T
    return palette


def _from_cmyk(pixels: np.ndarray) -> np.ndarray:
    """Convert CMYK (H, W, 4 or more) to RGB (H, W, 3) of the same type."""
    top = 1.0 if pixels.dtype.kind == "f" else float(np.iinfo(pixels.dtype).max)
    light = 1 - pixels[..., :4].astype(np.float32) / top
    rgb = light[..., :3] * light[..., 3:] * top
    return (rgb if pixels.dtype.kind == "f" else np.rint(rgb)).astype(pixels.dtype)


def _from_ycbcr(pixels: np.ndarray, path: Path) -> np.ndarray:
    """Convert YCbCr uint8 (H, W, 3) to RGB."""
    if pixels.dtype != np.uint8 or pixels.shape[2] != 3:
        raise DataError(f"{path}: the TIFF is YCbCr of {pixels.dtype}, which is not read; save it as RGB")
    converted: np.ndarray = cv2.cvtColor(np.ascontiguousarray(pixels[..., [0, 2, 1]]), cv2.COLOR_YCrCb2RGB)
    return converted
