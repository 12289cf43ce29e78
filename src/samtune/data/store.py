"""A store of arrays on disk, one memory-mapped file per key; what was computed once is not computed again.

Files lie in 256 sub-folders, by the first two letters of their keys, so that no folder holds all of them. Keys are
digests of all that the content depends on, so a stale entry cannot be found. Files are written whole or not at all;
several processes may share a store. The folder is `$SAMTUNE_CACHE`, else `~/.cache/samtune`; it may be deleted at any
time.
"""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from samtune.errors import DataError
from samtune.files import cache_folder, make_folder, whole

if TYPE_CHECKING:
    from pathlib import Path


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
        """Whether the array is there."""
        return self.file(key).is_file()

    def get(self, key: str) -> np.ndarray:
        """The array of a key, mapped from disk and read-only."""
        return np.load(self.file(key), mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]

    def put(self, key: str, array: np.ndarray) -> None:
        """Write an array."""
        file = self.file(key)
        make_folder(file.parent)
        with whole(file, shared=True) as partial, partial.open("wb") as stream:
            np.save(stream, array, allow_pickle=False)

    def free_bytes(self) -> int:
        """What is free on the disk that the store lies on."""
        existing = next(parent for parent in (self.folder, *self.folder.parents) if parent.exists())
        return shutil.disk_usage(existing).free

    def make_room(self, num_bytes: int) -> None:
        """Make sure that so many bytes fit on the disk.

        Raises:
            DataError: they do not; says how much is missing and how to put the store elsewhere.
        """
        free = self.free_bytes()
        if num_bytes > free:
            raise DataError(
                f"The features need {num_bytes / 1e9:.1f} GB on disk, but {free / 1e9:.1f} GB are free at "
                f"{self.folder}; set SAMTUNE_CACHE to a folder on a larger disk, or use fewer views (--set views=2)."
            )
