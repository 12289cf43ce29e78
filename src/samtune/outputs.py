"""Output folders, each with a list of the files that samtune wrote there and may therefore replace.

    OUT/.samtune-outputs.jsonl    {"file": "a/x.png", "kind": "predictions", "bytes": 812, "sha256": ...} for each file

A file may be replaced if it is listed with its present content and the same kind. Every other file in the folder is
foreign, including an output that was edited since, and is kept unless `overwrite` is set. Inputs of the same command,
links, and paths outside the folder are never written to. A line is written before its file, so that what a killed
process leaves is never foreign to the next one.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import stat
import unicodedata
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from samtune.errors import OutputError
from samtune.files import is_partial, make_folder, remove_partials, reported, whole
from samtune.text import count

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

LIST_FILE = ".samtune-outputs.jsonl"
HEADER = {"samtune": "outputs", "format": 1}

NAMED = 5
"""Largest number of files that an error names."""

INPUT, LINK, OUTSIDE, NO_FILE, TWICE, FOREIGN = "input", "link", "outside", "no file", "twice", "foreign"

REASONS = {
    INPUT: "also read by this command",
    LINK: "a symbolic link or below one",
    OUTSIDE: "outside that folder",
    NO_FILE: "no regular file, or below one",
    TWICE: "the name of two outputs",
    FOREIGN: "not written there by samtune, or changed since",
}
"""Reasons not to write a file; `overwrite` overrides only the last."""

GENERATOR = b'<meta name="generator" content="samtune">'
"""Mark of samtune's pages, which identifies them in folders without a list."""

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""First characters of a cell that spreadsheets evaluate; a file name that begins so could fetch or run something."""

Signature = tuple[int, int, int, int]


def without_formula(cell: object) -> object:
    """Return a cell that no spreadsheet evaluates: text that looks like a formula gets a leading apostrophe."""
    if not isinstance(cell, str) or not cell.startswith(FORMULA):
        return cell
    try:
        float(cell)
    except ValueError:
        return f"'{cell}"
    return cell


class OutputFolder:
    """Folder for outputs, each written completely or not at all, and never over a foreign file.

    Args:
        path: the folder, which is created at the first write.
        kind: purpose of the files, such as "predictions"; files of another kind are foreign too.
        inputs: files that are never written to.
        overwrite: whether foreign files may be replaced.

    Raises:
        OutputError: `path` is not a folder, or its list is not one of samtune's.
    """

    def __init__(self, path: Path, kind: str, *, inputs: Iterable[Path] = (), overwrite: bool = False) -> None:
        self.path, self.kind, self.overwrite = path, kind, overwrite
        if os.path.lexists(path) and not path.is_dir():
            raise OutputError(f"Expected a folder to write to, got the file {path}; choose another.")
        self._list = path / LIST_FILE
        self._written = _read_list(self._list)
        self._input_ids, self._input_keys = _identities(inputs)
        self._claimed: dict[str, str] = {}
        self._checked: dict[str, Signature | None] = {}

    def claim(self, names: Iterable[str]) -> None:
        """Check that files may be written, before any work is done for them.

        Args:
            names: paths below the folder, with "/" between folders, each once.

        Raises:
            OutputError: some must not be written; the message names them by reason.
        """
        names = list(names)
        folders = {name_key(parent.as_posix()) for name in names for parent in PurePosixPath(name).parents}
        refused: dict[str, list[str]] = {}
        seen: set[str] = set()
        for name in names:
            why = TWICE if name in seen or name_key(name) in folders else self._refusal(name)
            seen.add(name)
            if why is not None:
                refused.setdefault(why, []).append(name)
        if refused:
            raise OutputError(self._sentence(refused))

    @contextmanager
    def whole(self, name: str, *, shared: bool = True) -> Iterator[Path]:
        """Yield a path to write to, which replaces the file at the end of the block.

        Args:
            name: path below the folder; claimed here if it was not claimed before.
            shared: as for `files.whole`; False flushes the file to the disk.

        Raises:
            OutputError: the file must not be written, or the disk fails.
        """
        if name not in self._checked or self._checked[name] != _signature(self.path / name):
            self.claim([name])
        file = self.path / name
        make_folder(file.parent)
        if why := self._refused_parent(file):  # made since it was claimed
            raise OutputError(self._sentence({why: [name]}))
        with whole(file, shared=shared) as partial:
            yield partial
            self._note(name, partial)
        self._checked[name] = _signature(file)

    def write_bytes(self, name: str, content: bytes) -> Path:
        """Write a file and return its path; see `whole`."""
        with self.whole(name) as partial:
            partial.write_bytes(content)
        return self.path / name

    def write_text(self, name: str, text: str) -> Path:
        """Write a UTF-8 text file and return its path; lone surrogates of file names are written as escapes."""
        return self.write_bytes(name, text.encode("utf-8", errors="backslashreplace"))

    def write_csv(self, name: str, rows: Iterable[Sequence[object]], *, is_manifest: bool = False) -> Path:
        """Write rows as UTF-8 CSV and return the path of the file; see `whole`.

        Args:
            name: path below the folder.
            rows: rows of cells, the column names first. Text that a spreadsheet would evaluate gets an apostrophe.
            is_manifest: whether samtune reads the file back, so that names must stay unchanged.
        """
        text = io.StringIO(newline="")
        csv.writer(text).writerows(rows if is_manifest else (map(without_formula, row) for row in rows))
        return self.write_text(name, text.getvalue())

    def remove(self, name: str) -> None:
        """Remove a file of this folder's kind; a foreign file stays."""
        file = self.path / name
        if self._is_own(name):
            with reported(self.path, name):
                file.unlink(missing_ok=True)
            self._checked.pop(name, None)

    def foreign(self) -> list[str]:
        """Return the foreign files in the folder, links included, sorted."""
        foreign = []
        for folder, folders, files in os.walk(self.path):
            inside = Path(folder).relative_to(self.path)
            names = [name for name in folders if Path(folder, name).is_symlink()] + files
            for name in (inside / name for name in names):
                if name.name != LIST_FILE and not is_partial(name.name) and not self._is_own(name.as_posix()):
                    foreign.append(name.as_posix())
        return sorted(foreign)

    def own(self) -> list[str]:
        """Return the files in the folder that samtune wrote with this kind and that are unchanged, sorted."""
        return sorted(name for name in self._written if is_inside(name) and self._is_own(name))

    def clear(self) -> None:
        """Remove all files that samtune wrote with this kind, and folders that are then empty.

        Raises:
            OutputError: the disk fails.
        """
        folders = {self.path}
        for name in filter(is_inside, list(self._written)):
            if (self.path / name).parent.is_dir() and not self._refused_parent(self.path / name):
                folders.add((self.path / name).parent)
                self.remove(name)
        for folder in folders:
            remove_partials(folder)
        for folder in sorted(folders - {self.path}, key=lambda path: -len(path.parts)):
            for parent in (folder, *folder.parents):
                if parent == self.path:
                    break
                with suppress(OSError):  # it holds something else
                    parent.rmdir()

    def _refusal(self, name: str) -> str | None:
        """Return the reason why a file must not be written, a key of `REASONS`; None if it may be written."""
        if not is_inside(name):
            return OUTSIDE
        file = self.path / name
        key = name_key(name)
        if self._claimed.setdefault(key, name) != name:
            return TWICE
        signature = _signature(file)
        self._checked.pop(name, None)
        if why := self._refused_parent(file):
            return why
        if signature is not None and stat.S_ISLNK(signature[0]):
            return LINK
        if name_key(os.path.abspath(file)) in self._input_keys or name_key(os.path.realpath(file)) in self._input_keys:
            return INPUT
        if signature is not None:
            if not stat.S_ISREG(signature[0]):
                return NO_FILE
            if _identity(file) in self._input_ids:
                return INPUT
            if not self.overwrite and not self._is_own(name):
                return FOREIGN
        self._checked[name] = signature
        return None

    def _is_own(self, name: str) -> bool:
        """Return whether a file has the content that samtune wrote with this kind."""
        file = self.path / name
        listed = self._written.get(name)
        with suppress(OSError):
            if file.is_symlink() or not file.is_file():
                return False
            if listed is not None:
                return any(kind == self.kind and size == file.stat().st_size for kind, size, _ in listed) and (
                    (self.kind, file.stat().st_size, _digest(file)) in listed
                )
            if not self._written and file.suffix == ".html":  # the folder was made before there were lists
                with file.open("rb") as stream:
                    return GENERATOR in stream.read(2000)
        return False

    def _refused_parent(self, file: Path) -> str | None:
        """Return `LINK` or `NO_FILE` if a folder between this one and the file is a link or a file, else None."""
        for parent in file.parents:
            if parent == self.path:
                break
            if parent.is_symlink():
                return LINK
            if os.path.lexists(parent) and not parent.is_dir():
                return NO_FILE
        return None

    def _note(self, name: str, partial: Path) -> None:
        """Add a file that is about to be renamed into place to the list."""
        entry = (self.kind, partial.stat().st_size, _digest(partial))
        if entry in self._written.get(name, set()):
            return
        line = json.dumps({"file": name, "kind": entry[0], "bytes": entry[1], "sha256": entry[2]})
        with reported(self.path, LIST_FILE):
            _append(self._list, line)
        self._written.setdefault(name, set()).add(entry)

    def _sentence(self, refused: dict[str, list[str]]) -> str:
        """Return the error message for files that must not be written, given their names by reason."""
        parts = []
        for why, names in refused.items():
            shown = ", ".join(f"`{name}`" for name in names[:NAMED])
            rest = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
            parts.append(f"{shown}{rest} ({REASONS[why]})")
        num = sum(map(len, refused.values()))
        advice = "choose another folder"
        if list(refused) == [FOREIGN]:
            advice += ", or pass --overwrite (`overwrite=True`) to replace them"
        return f"Cannot write {count(num, 'file')} in {self.path}: {'; '.join(parts)}; {advice}."


def is_inside(name: str) -> bool:
    """Return whether a relative name stays below the folder that it is joined to."""
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts and "\0" not in name


def name_key(name: str) -> str:
    """Return a key that is equal for names that differ only in case or Unicode composition, as on some file systems."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


def _identities(inputs: Iterable[Path]) -> tuple[set[tuple[int, int]], set[str]]:
    """Return device and inode of each input file, and the keys of its path and of the path with links resolved."""
    ids, keys = set(), set()
    for file in inputs:
        with suppress(OSError):
            ids.add(_identity(file))
        keys |= {name_key(os.path.abspath(file)), name_key(os.path.realpath(file))}
    return ids, keys


def _identity(file: Path) -> tuple[int, int]:
    status = file.stat()
    return status.st_dev, status.st_ino


def _signature(file: Path) -> Signature | None:
    """Return a value that changes when the file is replaced or written; None where there is no file."""
    try:
        status = file.lstat()
    except OSError:
        return None
    return status.st_mode, status.st_ino, status.st_size, status.st_mtime_ns


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _read_list(file: Path) -> dict[str, set[tuple[str, int, str]]]:
    """Return name -> {(kind, bytes, sha256)} of every content that samtune wrote there; empty without a list.

    Raises:
        OutputError: the file is a link, or not samtune's list.
    """
    written: dict[str, set[tuple[str, int, str]]] = {}
    if not os.path.lexists(file):
        return written
    if file.is_symlink() or not file.is_file():
        raise OutputError(f"Expected a regular file at {file}, got a link or a folder; choose another folder.")
    with reported(file.parent, file.name):
        lines = file.read_bytes().split(b"\n")
    if lines[0] != json.dumps(HEADER).encode():
        raise OutputError(
            f"Expected a list of samtune's outputs in {file}, got other content; choose another folder, or remove it."
        )
    for line in lines[1:]:
        with suppress(ValueError, KeyError, TypeError):  # cut off by a kill, or by a full disk
            content = json.loads(line)
            entry = (str(content["kind"]), int(content["bytes"]), str(content["sha256"]))
            written.setdefault(str(content["file"]), set()).add(entry)
    return written


def _append(file: Path, line: str) -> None:
    """Append a line to a list in one write, so that several processes may share a folder.

    A list with several hard links, such as of a backup, is copied first.
    """
    if not file.exists() or file.stat().st_nlink > 1:
        before = file.read_bytes() if file.exists() else json.dumps(HEADER).encode() + b"\n"
        with whole(file, shared=True) as partial:
            partial.write_bytes(before)
    number = os.open(file, os.O_RDWR | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0))
    try:
        size = os.fstat(number).st_size
        os.lseek(number, -min(size, 1), os.SEEK_END)
        cut_off = size and os.read(number, 1) != b"\n"
        content = (b"\n" if cut_off else b"") + line.encode() + b"\n"
        if os.write(number, content) < len(content):
            os.fsync(number)  # raises the reason, usually that the disk is full
            raise OSError(0, "the line was cut off")
    finally:
        os.close(number)
