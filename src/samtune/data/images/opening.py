"""Opening of image files of unknown origin: only regular files of a supported format, identified by their content."""

from __future__ import annotations

import stat
import threading
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

from samtune.data.images.limits import check_file_size
from samtune.errors import DataError, SamTuneError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HEAD = 512
"""Bytes from the start of a file that identify its format."""

TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

STARTS: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    *((start, "TIFF") for start in TIFF_STARTS),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    *((f"P{digit}".encode() + space, "PPM") for digit in "123456" for space in (b"\n", b" ", b"\t", b"\r", b"#")),
    (b"BM", "BMP"),
)
"""First bytes of the supported formats; WebP is identified by bytes 8 to 12."""

UNSUPPORTED: tuple[tuple[bytes, str], ...] = (
    (b"%!PS", "PostScript (EPS)"),
    (b"\xc5\xd0\xd3\xc6", "PostScript (EPS)"),
    (b"%PDF", "PDF"),
    (b"8BPS", "Photoshop"),
    (b"\0\0\0\x0cjP", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"\x76\x2f\x31\x01", "OpenEXR"),
    (b"#?RADIANCE", "Radiance HDR"),
    (b"\0\0\x01\0", "Windows icon"),
    (b"\x89HDF\r\n\x1a\n", "HDF5"),
    (b"\x93NUMPY", "NumPy array"),
    (b"DDS ", "DirectDraw"),
    (b"SIMPLE  =", "FITS"),
    (b"PK\x03\x04", "ZIP archive"),
    (b"\x1f\x8b", "gzip"),
    (b"<svg", "SVG"),
    (b"<?xml", "XML"),
    (b"<!DOCTYPE", "HTML"),
    (b"<html", "HTML"),
    (b"version https://git-lfs", "Git LFS pointer (run `git lfs pull`)"),
)
"""First bytes and names of unsupported formats that occur under the name of an image."""


class _Silence:
    """A context without warnings, for several threads at once; `warnings.catch_warnings` alone is not thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._within = 0
        self._saved = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            self._within += 1
            if self._within == 1:
                self._saved = warnings.catch_warnings()
                self._saved.__enter__()
                warnings.simplefilter("ignore")

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._within -= 1
            if self._within == 0:
                self._saved.__exit__(None, None, None)


_SILENCE = _Silence()


@contextmanager
def open_image_file(path: Path) -> Iterator[tuple[BinaryIO, str]]:
    """Open a file and identify its format; every failure inside the block becomes a `DataError`.

    Decoders are third-party code that reads untrusted files here, so whatever they raise (`struct.error`, `TypeError`,
    `zlib.error`, `MemoryError`, ...) is converted.

    Args:
        path: the image file.

    Yields:
        The file, positioned at its first byte, and "PNG", "JPEG", "TIFF", "GIF", "BMP", "WEBP" or "PPM".

    Raises:
        DataError: the file is missing, a pipe, a device or a folder, of another format, too large, or damaged.
    """
    try:
        with _SILENCE:
            # Checked before opening, because opening a named pipe blocks until someone writes to it.
            status = path.stat()
            if not stat.S_ISREG(status.st_mode):
                raise DataError(
                    f"{path}: this is {_kind(status.st_mode)}, not an image file; remove it from the folder"
                )
            check_file_size(path, status.st_size)
            with path.open("rb") as file:
                head = file.read(HEAD)
                file.seek(0)
                yield file, _format_of(head, path)
    except (SamTuneError, NameError):
        raise  # a NameError is a bug of samtune, not a damaged file
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; check the path") from error
    except PermissionError as error:
        raise DataError(f"{path}: permission denied; make the file readable") from error
    except MemoryError as error:
        raise DataError(f"{path}: decoding the image takes more memory than is available; cut it into tiles") from error
    except Exception as error:
        what = " ".join(str(error).split())[:160] or type(error).__name__
        raise DataError(f"{path}: the image cannot be decoded ({what}); copy it again or remove it") from error


def _kind(mode: int) -> str:
    """Return what kind of file an irregular one is, with its article."""
    if stat.S_ISDIR(mode):
        return "a folder"
    if stat.S_ISFIFO(mode):
        return "a named pipe"
    return "a socket" if stat.S_ISSOCK(mode) else "a device"


def _format_of(head: bytes, path: Path) -> str:
    """Return the format that the first bytes of a file identify.

    Raises:
        DataError: the format is unsupported or unknown, or the file is empty.
    """
    if not head:
        raise DataError(f"{path}: the file is empty; copy it again or remove it")
    for start, name in STARTS:
        if head.startswith(start):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    for start, name in UNSUPPORTED:
        if head.startswith(start):
            raise DataError(f"{path}: the file is {name}, regardless of its name; export it as PNG or TIFF")
    if head[4:8] == b"ftyp":
        raise DataError(f"{path}: the file is HEIC, AVIF or a video, regardless of its name; export it as PNG")
    if head[128:132] == b"DICM":
        raise DataError(f"{path}: the file is DICOM, regardless of its name; export it as PNG or TIFF")
    text = head.isascii() and all(byte >= 32 or byte in b"\t\r\n\f" for byte in head)
    what = "is text" if text else "is in no supported format"
    raise DataError(f"{path}: the file {what}; expected PNG, JPEG, TIFF, BMP, WebP, GIF or PNM")
