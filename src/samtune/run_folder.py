"""The run folder: the names and formats of its files, defined only here.

RUN/
  config.toml        settings of the run, every default filled in
  split.json         images that it trained and validated on
  sessions.jsonl     one JSON object per start and resume: date, command line, versions, machine
  history.jsonl      one JSON object per update
  metrics.csv        rows of the history with scores on the validation images, as a table
  metrics.json       scores, counts, seconds
  probe.safetensors  logistic regression on the frozen features
  specialist/        the adapter
  last/              checkpoint to resume from; removed when the run is finished
  report.html        the page
"""

from __future__ import annotations

import csv
import io
import json
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samtune.errors import DataError, WeightsError
from samtune.files import is_partial, reported, whole
from samtune.inputs import as_path
from samtune.outputs import LIST_FILE, OutputFolder

CONFIG_FILE = "config.toml"
SPLIT_FILE = "split.json"
SESSIONS_FILE = "sessions.jsonl"
HISTORY_FILE = "history.jsonl"
SCORES_FILE = "metrics.csv"
METRICS_FILE = "metrics.json"
PROBE_FILE = "probe.safetensors"
REPORT_FILE = "report.html"
STATE_FILE = "state.safetensors"
LOCK_FILE = "samtune.lock"
SPECIALIST_FOLDER, LAST_FOLDER = "specialist", "last"

OWN = {
    "": (
        CONFIG_FILE, SPLIT_FILE, SESSIONS_FILE, HISTORY_FILE, SCORES_FILE, METRICS_FILE, PROBE_FILE, LIST_FILE,
        LOCK_FILE,
    ),
    LAST_FOLDER: (STATE_FILE, LIST_FILE),
}  # fmt: skip
"""Sub-folder of a run ("" for the run itself) -> files that belong to the run by name."""

SCORE_PREFIX = "val_"
"""Prefix of the names of validation scores in a row of the history."""

REPORT_KIND, SPECIALIST_KIND = "report", "specialist"
"""Kinds of files in the list of outputs of a folder; see `outputs`."""

LISTED = {"": REPORT_KIND, SPECIALIST_FOLDER: SPECIALIST_KIND}
"""Sub-folder of a run -> kind of the files that belong to the run while they are unchanged; see `outputs`."""


@dataclass(frozen=True)
class RunFolder:
    """Paths of a run, with reading and writing of its records.

    Attributes:
        path: the folder, which need not exist.
    """

    path: Path

    @property
    def config(self) -> Path:
        """Settings of the run as TOML."""
        return self.path / CONFIG_FILE

    @property
    def history(self) -> Path:
        """One JSON object per update, without times, so that the same run gives the same bytes."""
        return self.path / HISTORY_FILE

    @property
    def sessions(self) -> Path:
        """One JSON object per start and resume: date, command line, versions, machine."""
        return self.path / SESSIONS_FILE

    @property
    def scores(self) -> Path:
        """Rows of the history with scores on the validation images, as CSV; missing before the first of them."""
        return self.path / SCORES_FILE

    @property
    def split(self) -> Path:
        """Images that the run trained and validated on."""
        return self.path / SPLIT_FILE

    @property
    def metrics(self) -> Path:
        """Result of the run: scores, counts, seconds."""
        return self.path / METRICS_FILE

    @property
    def probe(self) -> Path:
        """Logistic regression on the frozen features of the training images."""
        return self.path / PROBE_FILE

    @property
    def specialist(self) -> Path:
        """Folder of the adapter."""
        return self.path / SPECIALIST_FOLDER

    @property
    def last(self) -> Path:
        """Folder of the checkpoint to resume from; removed when the run is finished."""
        return self.path / LAST_FOLDER

    @property
    def report(self) -> Path:
        """HTML page of the run."""
        return self.path / REPORT_FILE

    def holds_run(self) -> bool:
        """Return whether training has begun in the folder."""
        return self.config.is_file() and any(
            path.exists() for path in (self.split, self.history, self.metrics, self.specialist)
        )

    def foreign(self) -> list[str]:
        """Return files in the folder that are not part of the run, and listed outputs that were changed."""
        foreign = []
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
                    foreign.append(entry.relative_to(self.path).as_posix())
        return foreign

    def clear(self) -> None:
        """Remove the run; foreign files and their folders stay."""
        foreign = set(self.foreign())
        for folder in (*self._folders(), self.path):
            for entry in sorted(folder.iterdir()) if folder.is_dir() and not folder.is_symlink() else []:
                own = entry.relative_to(self.path).as_posix() not in foreign and entry.name != LOCK_FILE
                if own and not entry.is_dir():
                    entry.unlink(missing_ok=True)
            with suppress(OSError):  # not empty
                folder.rmdir()

    def remove_last(self) -> None:
        """Remove the checkpoint; other files in its folder stay."""
        with suppress(OSError):
            for entry in sorted(self.last.iterdir()):
                if entry.name in OWN[LAST_FOLDER] or is_partial(entry.name):
                    entry.unlink(missing_ok=True)
            self.last.rmdir()

    def _folders(self) -> list[Path]:
        return [path for path in (self.specialist, self.last) if path.is_dir() and not path.is_symlink()]

    def add_session(self, record: dict[str, Any], *, is_first: bool) -> None:
        """Add a start or a resume to the sessions.

        Args:
            record: JSON values; see `system.session_record`.
            is_first: whether the run begins anew, so that earlier sessions are dropped.
        """
        before = b"" if is_first or not self.sessions.is_file() else self.sessions.read_bytes()
        if before and not before.endswith(b"\n"):  # edited, or cut off when it was copied
            before += b"\n"
        with whole(self.sessions) as partial:
            partial.write_bytes(before + json.dumps(record).encode() + b"\n")

    def append_history(self, rows: list[dict[str, Any]], crc: int = 0) -> tuple[int, int]:
        """Append rows to the history; the table of scores is written anew if some have scores.

        Args:
            rows: one per update.
            crc: CRC-32 of the history so far.

        Returns:
            Length of the history in bytes, and its CRC-32.
        """
        content = "".join(json.dumps(row) + "\n" for row in rows).encode()
        with reported(self.path, self.history.name), self.history.open("ab") as file:
            file.write(content)
            file.flush()
            length = file.tell()
        if any(map(_has_scores, rows)):
            self._write_scores()
        return length, zlib.crc32(content, crc)

    def cut_history(self, length: int, crc: int | None = None) -> int:
        """Drop the rows written after the last checkpoint, from the table of scores too.

        Args:
            length: bytes to keep.
            crc: expected CRC-32 of those bytes; None to check the length alone.

        Returns:
            CRC-32 of those bytes.

        Raises:
            DataError: the history is not the one that the checkpoint continues.
        """
        kept = self.history.read_bytes()[:length] if self.history.is_file() else b""
        actual = zlib.crc32(kept)
        if len(kept) < length or crc not in (None, actual):
            raise DataError(
                f"{self.history} is damaged: it is not the history that the checkpoint in {self.last} continues; "
                f"restore the file, or delete {self.last} to start this run from its first update."
            )
        with whole(self.history) as partial:  # a new file: the old one may be a link, or a backup's hard link
            partial.write_bytes(kept)
        self._write_scores()
        return actual

    def _write_scores(self) -> None:
        """Write the table of scores from the history; without scores there is no table."""
        with suppress(DataError):  # a damaged history stops those who read it, not the training that writes the table
            rows = [row for row in self.read_history() if _has_scores(row)]
            if not rows:
                with reported(self.path, SCORES_FILE):
                    self.scores.unlink(missing_ok=True)
                return
            columns = list(dict.fromkeys(name for row in rows for name in row))
            text = io.StringIO(newline="")
            table = csv.DictWriter(text, columns, restval="")
            table.writeheader()
            table.writerows(rows)
            with whole(self.scores) as partial:
                partial.write_bytes(text.getvalue().encode())

    def read_history(self) -> list[dict[str, Any]]:
        """Return the rows of the history, without an incomplete last line; none without a history.

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
                if number == len(lines):  # empty or incomplete: complete lines end in a line break
                    break
                raise DataError(
                    f"{self.history} is damaged: line {number} is not the JSON object of an update; restore the file, "
                    "or train again in a new folder."
                ) from error
        return rows

    def read_metrics(self) -> dict[str, Any]:
        """Return the result of the run.

        Raises:
            DataError: the file is damaged.
        """
        return self._read(self.metrics, "stopped", "train again in a new folder")

    def read_split(self) -> dict[str, Any]:
        """Return the record of the split.

        Raises:
            DataError: the file is damaged.
        """
        return self._read(self.split, "train", "train again in a new folder")

    def seen_ids(self, parts: tuple[str, ...] = ("train", "val")) -> frozenset[str]:
        """Return the content ids of the images in these parts of the split.

        Raises:
            DataError: the file is damaged.
        """
        record = self.read_split()
        try:
            return frozenset(row["content_id"] for part in parts for row in record[part] if row["content_id"])
        except (KeyError, TypeError) as error:
            raise DataError(
                f"{self.split} is damaged: it is not the JSON that training wrote; restore the file, or train again "
                "in a new folder."
            ) from error

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


def _has_scores(row: dict[str, Any]) -> bool:
    """Return whether a row of the history is that of an evaluation."""
    return any(name.startswith(SCORE_PREFIX) for name in row)


def specialist_folder(path: str | Path) -> Path:
    """Return the folder of the specialist in a run folder; any other folder is returned unchanged.

    Raises:
        WeightsError: `path` is not a path.
    """
    folder = as_path(path, WeightsError)
    inner = folder / SPECIALIST_FOLDER
    return inner if inner.is_dir() else folder


def run_of(path: str | Path) -> RunFolder | None:
    """Return the run that a specialist belongs to; None for a specialist's folder on its own.

    Args:
        path: a run folder or its specialist's folder.
    """
    folder = Path(path).resolve()
    if (folder / SPECIALIST_FOLDER).is_dir():
        return RunFolder(Path(path))
    parent = RunFolder(folder.parent)
    return parent if folder.name == SPECIALIST_FOLDER and parent.split.is_file() else None
