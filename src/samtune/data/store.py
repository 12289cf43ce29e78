"""A store of arrays on disk, one memory-mapped file per key; what was computed once is not computed again.

Files lie in 256 sub-folders, by the first two letters of their keys, so that no folder holds all of them. Keys are
digests of all that the content depends on, so a stale entry cannot be found. Each file ends in a checksum of what it
holds, behind the array, where NumPy does not look; a file without the right one counts as not there. Files are written
whole or not at all; several processes and threads may share a store. The folder is `$SAMTUNE_CACHE`, else
`~/.cache/samtune`; it may be deleted at any time, also while programs use it.
"""

from __future__ import annotations

import hashlib
import io
import shutil
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from samtune.errors import DataError, OutputError
from samtune.files import cache_folder, make_folder, remove_partials, whole

if TYPE_CHECKING:
    from pathlib import Path

_TRAILER = struct.Struct("<8sQI")
"""Name of the format, length of what precedes, CRC-32 of it."""

_NAME = b"samtune1"


TRIES = 5
"""How often an entry is written again whose folder another process removed meanwhile."""


class MissingEntry(LookupError):  # noqa: N818
    """An entry is not in the store, or is not what was put there."""


@dataclass(frozen=True)
class ArrayStore:
    """Arrays by key.

    Attributes:
        folder: made when the first array is put.
    """

    folder: Path

    @staticmethod
    def default() -> ArrayStore:
        """The user's own store."""
        return ArrayStore(cache_folder())

    @staticmethod
    def key(*parts: object) -> str:
        """A digest of everything that an array depends on."""
        return hashlib.sha256("\n".join(map(repr, parts)).encode()).hexdigest()

    def file(self, key: str) -> Path:
        """Where the array of a key lies, whether or not it is there."""
        return self.folder / key[:2] / f"{key}.npy"

    def has(self, key: str) -> bool:
        """Whether the array is there, in its full length; its content is verified when it is read."""
        try:
            with self.file(key).open("rb") as stream:
                size = stream.seek(0, io.SEEK_END)
                stream.seek(max(0, size - _TRAILER.size))
                end = stream.read()
        except OSError:
            return False
        return len(end) == _TRAILER.size and _TRAILER.unpack(end)[:2] == (_NAME, size - _TRAILER.size)

    def read(self, key: str) -> np.ndarray:
        """The array of a key, in memory; the content is compared with its checksum.

        Raises:
            MissingEntry: it is not there, or it is damaged.
        """
        try:
            content = self.file(key).read_bytes()
            _verify(content)
            return np.load(io.BytesIO(content), allow_pickle=False)  # type: ignore[no-any-return]
        except (OSError, ValueError, EOFError) as error:
            raise MissingEntry(key) from error

    def get(self, key: str) -> np.ndarray:
        """The array of a key, mapped from disk and read-only; the content is compared with its checksum first.

        Raises:
            MissingEntry: it is not there, or it is damaged.
        """
        file = self.file(key)
        try:
            _verify(file.read_bytes())
            return np.load(file, mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]
        except (OSError, ValueError, EOFError) as error:
            raise MissingEntry(key) from error

    def put(self, key: str, array: np.ndarray) -> None:
        """Write an array; one that is there already is replaced by the same."""
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

    def free_bytes(self) -> int:
        """What is free on the disk that the store lies on."""
        existing = next(parent for parent in (self.folder, *self.folder.parents) if parent.exists())
        return shutil.disk_usage(existing).free

    def make_room(self, num_bytes: int) -> None:
        """Make sure that so many bytes fit on the disk; what killed processes left half-written is removed.

        Raises:
            DataError: they do not; says how much is missing and how to put the store elsewhere.
        """
        for folder in self.folder.glob("[0-9a-f][0-9a-f]"):
            remove_partials(folder)
        free = self.free_bytes()
        if num_bytes > free:
            raise DataError(
                f"The features need {num_bytes / 1e6:,.1f} MB on disk, but {free / 1e6:,.1f} MB are free at "
                f"{self.folder}; set SAMTUNE_CACHE to a folder on a larger disk, or use fewer views (--set views=2)."
            )


def _verify(content: bytes) -> None:
    """Compare a file's content with its checksum.

    Raises:
        ValueError: they differ.
    """
    payload, end = memoryview(content)[: -_TRAILER.size], content[-_TRAILER.size :]
    if len(end) != _TRAILER.size or _TRAILER.unpack(end) != (_NAME, len(payload), zlib.crc32(payload)):
        raise ValueError("The checksum differs.")
