"""A cache of arrays on disk: one memory-mapped file per key.

Files are spread over 256 sub-folders by the first two letters of their keys. A key is a digest of everything that the
array depends on, so an entry never goes stale. A checksum follows the array in each file, where NumPy ignores it; an
entry whose checksum does not match counts as missing. Files are written atomically, and processes and threads may share
a store. The folder is `$SAMTUNE_CACHE`, by default `~/.cache/samtune`; it may be deleted at any time, even while
programs use it.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import stat
import struct
import zlib
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from samtune.errors import DataError, OutputError
from samtune.files import cache_folder, make_folder, remove_partials, whole
from samtune.text import size

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_TRAILER = struct.Struct("<8sQI")
"""Name of the format, length of the array in NumPy's format in bytes, and its CRC-32."""

_NAME = b"samtune1"

_FOLDER, _FILE = re.compile(r"[0-9a-f]{2}"), re.compile(r"[0-9a-f]{64}\.npy")
"""Names of the sub-folders and of the entries in them."""

TRIES = 5
"""Attempts to write an entry while other processes remove its folder."""


class MissingEntry(LookupError):  # noqa: N818
    """An entry is missing from the store, or damaged."""


@dataclass(frozen=True)
class Entry:
    """File of an entry.

    Attributes:
        file: path.
        num_bytes: size.
        written_ns: time when it was written, in nanoseconds since 1970.
    """

    file: Path
    num_bytes: int
    written_ns: int


@dataclass(frozen=True)
class Removal:
    """What `ArrayStore.remove` did.

    Attributes:
        removed: entries that were removed.
        failed: entries that could not be removed, each with the error.
    """

    removed: tuple[Entry, ...]
    failed: tuple[tuple[Entry, OSError], ...]

    @property
    def num_bytes(self) -> int:
        """Bytes of the removed entries."""
        return sum(entry.num_bytes for entry in self.removed)


@dataclass(frozen=True)
class ArrayStore:
    """Arrays by key, each in a file of its own.

    Attributes:
        folder: the store's folder; created when the first array is written.
    """

    folder: Path

    @staticmethod
    def default() -> ArrayStore:
        """Return the store in the user's cache folder."""
        return ArrayStore(cache_folder())

    @staticmethod
    def key(*parts: object) -> str:
        """Return the key of an array: the sha256 of the `repr` of everything that it depends on."""
        return hashlib.sha256("\n".join(map(repr, parts)).encode()).hexdigest()

    def file(self, key: str) -> Path:
        """Return the file of a key, whether or not it exists."""
        return self.folder / key[:2] / f"{key}.npy"

    def has(self, key: str) -> bool:
        """Return whether the entry exists with its full length; its checksum is verified when it is read."""
        try:
            with self.file(key).open("rb") as stream:
                length = stream.seek(0, io.SEEK_END)
                stream.seek(max(0, length - _TRAILER.size))
                end = stream.read()
        except OSError:
            return False
        return len(end) == _TRAILER.size and _TRAILER.unpack(end)[:2] == (_NAME, length - _TRAILER.size)

    def read(self, key: str) -> np.ndarray:
        """Read the array of a key into memory, after verifying its checksum.

        Raises:
            MissingEntry: the entry is missing or damaged.
        """
        try:
            content = self.file(key).read_bytes()
            _verify(content)
            return np.load(io.BytesIO(content), allow_pickle=False)  # type: ignore[no-any-return]
        except (OSError, ValueError, EOFError) as error:
            raise MissingEntry(key) from error

    def get(self, key: str) -> np.ndarray:
        """Return the array of a key, read-only and memory-mapped, after verifying its checksum.

        Raises:
            MissingEntry: the entry is missing or damaged.
        """
        file = self.file(key)
        try:
            _verify(file.read_bytes())
            return np.load(file, mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]
        except (OSError, ValueError, EOFError) as error:
            raise MissingEntry(key) from error

    def put(self, key: str, array: np.ndarray) -> None:
        """Write an array, replacing an existing entry of this key.

        Raises:
            OutputError: the disk is full, read-only, or fails otherwise.
        """
        stream = io.BytesIO()
        np.save(stream, array, allow_pickle=False)
        content = stream.getbuffer()
        end = _TRAILER.pack(_NAME, len(content), zlib.crc32(content))
        file = self.file(key)
        for tries_left in reversed(range(TRIES)):
            make_folder(file.parent)
            try:
                with whole(file, shared=True) as partial, partial.open("wb") as opened:
                    opened.write(content)
                    opened.write(end)
                break
            except OutputError as error:
                if not isinstance(error.__cause__, FileNotFoundError) or not tries_left:
                    raise

    def entries(self) -> list[Entry]:
        """Return all entries, whole or damaged, by path. Links within the store and other files are left out.

        Raises:
            OSError: a folder cannot be read.
        """
        return [entry for folder in self._folders() for entry in _entries(folder)]

    def remove(self, entries: Iterable[Entry]) -> Removal:
        """Remove entries, also while other processes use the store: they compute them again.

        Entries that are gone, or were written again or replaced by a link since they were listed, are left alone. The
        partial files of killed processes are removed too, and sub-folders that are then empty.
        """
        removed, failed = [], []
        for entry in entries:
            try:
                if not entry.file.parent.is_symlink() and _entry(entry.file) == entry:
                    entry.file.unlink()
                    removed.append(entry)
            except FileNotFoundError:
                continue
            except OSError as error:
                failed.append((entry, error))
        for folder in self._folders():
            remove_partials(folder)
            with suppress(OSError):  # not empty
                folder.rmdir()
        return Removal(tuple(removed), tuple(failed))

    def _folders(self) -> list[Path]:
        """Return the sub-folders of entries that exist, without links; none where the store does not exist."""
        try:
            with os.scandir(self.folder) as found:
                names = sorted(
                    each.name for each in found if _FOLDER.fullmatch(each.name) and each.is_dir(follow_symlinks=False)
                )
        except FileNotFoundError:
            return []
        return [self.folder / name for name in names]

    def free_bytes(self) -> int:
        """Return the free bytes on the disk of the store."""
        existing = next(parent for parent in (self.folder, *self.folder.parents) if parent.exists())
        return shutil.disk_usage(existing).free

    def make_room(self, num_bytes: int) -> None:
        """Remove the partial files of killed processes, and check that `num_bytes` fit on the disk.

        Raises:
            DataError: too little space is free.
        """
        for folder in self.folder.glob("[0-9a-f][0-9a-f]"):
            remove_partials(folder)
        free = self.free_bytes()
        if num_bytes > free:
            raise DataError(
                f"The features need {size(num_bytes)} on disk, and {size(free)} are free at "
                f"{self.folder}; set SAMTUNE_CACHE to a folder on a larger disk, or use fewer views (--set views=2)."
            )


def _entries(folder: Path) -> Iterator[Entry]:
    """Yield the entries in a sub-folder, by name."""
    with suppress(FileNotFoundError):  # removed by another process
        for name in sorted(filter(_FILE.fullmatch, os.listdir(folder))):
            with suppress(FileNotFoundError):
                entry = _entry(folder / name)
                if entry is not None:
                    yield entry


def _entry(file: Path) -> Entry | None:
    """Return the entry at a path; None for a link, a folder or a device."""
    status = file.lstat()
    return Entry(file, status.st_size, status.st_mtime_ns) if stat.S_ISREG(status.st_mode) else None


def _verify(content: bytes) -> None:
    """Verify the checksum of a file's content.

    Raises:
        ValueError: it does not match.
    """
    payload, end = memoryview(content)[: -_TRAILER.size], content[-_TRAILER.size :]
    if len(end) != _TRAILER.size or _TRAILER.unpack(end) != (_NAME, len(payload), zlib.crc32(payload)):
        raise ValueError("The checksum differs.")
