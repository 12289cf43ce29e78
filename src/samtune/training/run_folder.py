"""The files of a run folder that training writes, and nothing but their names and formats.

RUN/  config.toml  split.json  history.jsonl  metrics.json  probe.safetensors  specialist/  last/  report.html
"""

from __future__ import annotations

import json
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samtune.errors import DataError
from samtune.files import is_partial, reported, whole
from samtune.outputs import LIST_FILE, OutputFolder
from samtune.training.lock import LOCK_FILE

OWN = {
    "": ("config.toml", "split.json", "history.jsonl", "metrics.json", "probe.safetensors", LIST_FILE, LOCK_FILE),
    "last": ("state.safetensors", LIST_FILE),
}
"""Folder of a run -> the files in it that are training's by their names."""

LISTED = {"": "report", "specialist": "specialist"}
"""Folder of a run -> kind of the files in it that are samtune's only as they were written; see `outputs`."""


@dataclass(frozen=True)
class RunFolder:
    """Paths of a run, and its history."""

    path: Path

    @property
    def history(self) -> Path:
        """One JSON object per update; it holds no times, so that the same run gives the same bytes."""
        return self.path / "history.jsonl"

    @property
    def split(self) -> Path:
        """Which images the run trained and validated on."""
        return self.path / "split.json"

    @property
    def metrics(self) -> Path:
        """The result: scores, counts, seconds."""
        return self.path / "metrics.json"

    @property
    def probe(self) -> Path:
        """The logistic regression on the frozen features of the training images."""
        return self.path / "probe.safetensors"

    @property
    def specialist(self) -> Path:
        """The adapter."""
        return self.path / "specialist"

    @property
    def last(self) -> Path:
        """The checkpoint for going on after a kill; removed when the run is finished."""
        return self.path / "last"

    def holds_run(self) -> bool:
        """Whether a training has begun in the folder."""
        return (self.path / "config.toml").is_file() and any(
            path.exists() for path in (self.split, self.history, self.metrics, self.specialist)
        )

    def foreign(self) -> list[str]:
        """The files in the folder that are no part of a run, or that a user changed where people do that."""
        found = []
        for folder in ("", *(path.name for path in self._folders())):
            path = self.path / folder
            listed = OutputFolder(path, LISTED[folder]).foreign() if folder in LISTED and path.is_dir() else None
            for entry in sorted(path.iterdir()) if path.is_dir() else []:
                if entry.is_symlink():
                    own = False
                elif entry.is_dir():
                    own = not folder and entry.name in (*OWN, *LISTED)
                else:
                    own = entry.name in OWN.get(folder, ()) or is_partial(entry.name)
                    own = own or (listed is not None and entry.name not in listed)
                if not own:
                    found.append(entry.relative_to(self.path).as_posix())
        return found

    def clear(self) -> None:
        """Remove a run; what is foreign stays, and the folders that it lies in."""
        foreign = set(self.foreign())
        for folder in (*self._folders(), self.path):
            for entry in sorted(folder.iterdir()) if folder.is_dir() and not folder.is_symlink() else []:
                own = entry.relative_to(self.path).as_posix() not in foreign and entry.name != LOCK_FILE
                if own and not entry.is_dir():
                    entry.unlink(missing_ok=True)
            with suppress(OSError):  # it holds something else
                folder.rmdir()

    def remove_last(self) -> None:
        """Remove the checkpoint; what else lies in its folder stays."""
        with suppress(OSError):
            for entry in sorted(self.last.iterdir()):
                if entry.name in OWN["last"] or is_partial(entry.name):
                    entry.unlink(missing_ok=True)
            self.last.rmdir()

    def _folders(self) -> list[Path]:
        return [path for path in (self.specialist, self.last) if path.is_dir() and not path.is_symlink()]

    def append_history(self, rows: list[dict[str, Any]], crc: int = 0) -> tuple[int, int]:
        """Append rows to the history.

        Args:
            rows: one for each update.
            crc: CRC-32 of the history so far.

        Returns:
            The length of the history in bytes, and its CRC-32.
        """
        content = "".join(json.dumps(row) + "\n" for row in rows).encode()
        with reported(self.path, self.history.name), self.history.open("ab") as file:
            file.write(content)
            file.flush()
            return file.tell(), zlib.crc32(content, crc)

    def cut_history(self, length: int, crc: int | None = None) -> int:
        """Drop what was written after the last checkpoint.

        Args:
            length: bytes that are kept.
            crc: CRC-32 of those bytes; None to compare the length alone.

        Returns:
            CRC-32 of those bytes.

        Raises:
            DataError: the history is not what the checkpoint was written with.
        """
        kept = self.history.read_bytes()[:length] if self.history.is_file() else b""
        found = zlib.crc32(kept)
        if len(kept) < length or crc not in (None, found):
            raise DataError(
                f"{self.history} is damaged: it is not the history that the checkpoint in {self.last} continues; "
                f"restore the file, or delete {self.last} to start this run from its first update."
            )
        with whole(self.history) as partial:  # a new file, where a link or a backup's hard link may have been
            partial.write_bytes(kept)
        return found

    def read_history(self) -> list[dict[str, Any]]:
        """The rows of the history; a last line that a kill cut off is left out.

        Raises:
            DataError: the file is damaged.
        """
        if not self.history.is_file():
            return []
        lines = self.history.read_bytes().split(b"\n")
        rows = []
        for number, line in enumerate(lines, start=1):
            try:
                row = json.loads(line)
                row["step"]
                rows.append(row)
            except (ValueError, TypeError, KeyError) as error:
                if number == len(lines):  # nothing, or a part of a line: each ends in a line break
                    break
                raise DataError(
                    f"{self.history} is damaged: line {number} is not the JSON object of an update; restore the file, "
                    "or train again in a new folder."
                ) from error
        return rows

    def read_metrics(self) -> dict[str, Any]:
        """The content of `metrics.json`.

        Raises:
            DataError: the file is damaged.
        """
        return self._read(self.metrics, "stopped", "train again in a new folder")

    def read_split(self) -> dict[str, Any]:
        """The content of `split.json`.

        Raises:
            DataError: the file is damaged.
        """
        return self._read(self.split, "train", "train again in a new folder")

    @staticmethod
    def _read(file: Path, key: str, otherwise: str) -> dict[str, Any]:
        try:
            content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
            content[key]
        except (ValueError, TypeError, KeyError) as error:
            raise DataError(
                f"{file} is damaged: it is not the JSON that training wrote; restore the file, or {otherwise}."
            ) from error
        return content
