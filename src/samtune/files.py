"""Atomic writing of files: each is written under another name, and renamed once it is complete.

A reader sees the old content or the new, even after a kill; any error leaves the old. Errors of the disk (no space, no
permission, read-only) become an `OutputError`, whichever library was writing.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
import shutil
import socket
import time
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samtune.errors import OutputError, SamTuneError
from samtune.text import size

if TYPE_CHECKING:
    from collections.abc import Iterator

_UMASK = os.umask(0)
os.umask(_UMASK)
MODE = 0o666 & ~_UMASK
"""Permissions of a new file. Some libraries create files that only their owner may read, whatever the umask, so that
others could not load a specialist from a shared folder."""

PARTIAL_PREFIX, PARTIAL_SUFFIX = ".samtune-", ".partial"
"""Prefix and suffix of the name of a file that is being written; no other program uses them."""

ABANDONED_S = 24 * 3600
"""Age in seconds after which a partial file of another machine counts as left behind by a killed process."""

REASONS = {
    errno.ENOSPC: "no space is left on the disk",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "it would be larger than the disk or this process may have files",
    errno.EROFS: "the disk is read-only",
    errno.EACCES: "permission is denied",
    errno.EPERM: "permission is denied",
    errno.ENAMETOOLONG: "the name is too long for the disk",
    errno.ENOTDIR: "a part of the path is a file",
    errno.EEXIST: "a file of that name is there",
    errno.ENOENT: "the folder is gone",
    errno.EIO: "the disk reports an error",
    errno.ELOOP: "it is a symbolic link",
}
"""Error number of the system -> reason for the user."""

TRIES = 100
"""Attempts to make a folder that another process removes at the same time."""

NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Error numbers that free space would solve."""


def cache_folder() -> Path:
    """Return the folder of the user's cache: `$SAMTUNE_CACHE`, else `~/.cache/samtune`."""
    named = os.environ.get("SAMTUNE_CACHE")
    return Path(named) if named else Path.home() / ".cache" / "samtune"


@contextmanager
def whole(file: Path, *, shared: bool = False) -> Iterator[Path]:
    """Yield a path to write to, in the folder of the file, which replaces the file at the end of the block.

    Args:
        file: the file to write; its folder exists.
        shared: whether the file is one of many that may be written again at any time, such as an entry of a cache. It
            is not flushed to the disk, and partial files that killed processes left are not removed.

    Yields:
        The path of an empty file with a unique name. If the block raises, it is removed and the file stays as it was.

    Raises:
        OutputError: the disk is full, read-only, or fails otherwise.
    """
    if not shared:
        remove_partials(file.parent, file.name)
    partial = file.with_name(f"{_partial_stem(file.name)}-{_host()}-{os.getpid()}-{secrets.token_hex(4)}.partial")
    with reported(file.parent, file.name):
        try:
            os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, MODE))
            yield partial
            partial.chmod(MODE)
            if not shared:
                _to_disk(partial)
            os.replace(partial, file)
        except BaseException:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            raise


def write_text(file: Path, text: str, *, shared: bool = False, bytes_as_names: bool = False) -> None:
    """Write a text file, UTF-8, completely or not at all.

    Args:
        file: the file to write; its folder exists.
        text: the content; it may contain file names that are not UTF-8 (`os.fsdecode`).
        shared: as for `whole`.
        bytes_as_names: write such names as their bytes, for a file that is read back; else as readable escapes.
    """
    with whole(file, shared=shared) as partial:
        partial.write_text(text, encoding="utf-8", errors="surrogateescape" if bytes_as_names else "backslashreplace")


def write_json(file: Path, content: dict[str, Any], *, shared: bool = False) -> None:
    """Write a JSON file completely or not at all; `shared` as for `whole`."""
    write_text(file, json.dumps(content, indent=2) + "\n", shared=shared)


def make_folder(folder: Path) -> None:
    """Make a folder and its parents if they do not exist.

    Raises:
        OutputError: the disk fails, or a part of the path is a file.
    """
    with reported(folder):
        for _ in range(TRIES):
            try:
                folder.mkdir(parents=True, exist_ok=True)
                return
            except (FileExistsError, FileNotFoundError):
                if os.path.lexists(folder):
                    break
        folder.mkdir(parents=True, exist_ok=True)


def remove_partials(folder: Path, name: str = "") -> None:
    """Remove the partial files of killed processes from a folder: those of one file, or of all files without a name."""
    prefix = _partial_stem(name) if name else PARTIAL_PREFIX
    with suppress(OSError):
        partials = [Path(each) for each in os.scandir(folder) if is_partial(each.name) and each.name.startswith(prefix)]
        for partial in partials:
            if _is_abandoned(partial):
                partial.unlink(missing_ok=True)


def is_partial(name: str) -> bool:
    """Return whether a file name is that of a partial file."""
    return name.startswith(PARTIAL_PREFIX) and name.endswith(PARTIAL_SUFFIX)


@contextmanager
def reported(folder: Path, name: str = "") -> Iterator[None]:
    """Convert errors of the disk within the block to `OutputError`.

    Args:
        folder: the folder that is written to.
        name: the file that is written, for the message.

    Raises:
        OutputError: an error of the system, numpy, safetensors or torch in writing below `folder`. Errors about a file
            elsewhere, such as one that is read, are not converted.
    """
    try:
        yield
    except SamTuneError:
        raise
    except Exception as error:
        sentence = write_failure(error, folder, name)
        if sentence is None:
            raise
        raise OutputError(sentence) from error


def write_failure(error: Exception, folder: Path, name: str = "") -> str | None:
    """Return the message for an error in writing to a folder; None for an error of another kind."""
    number = _errno(error, folder)
    if number is None:
        return None
    free = _free_bytes(folder)
    if not number and (free is None or free < 1_000_000):
        number = errno.ENOSPC
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    reason = REASONS.get(number, " ".join(text.split()))
    if number == errno.ENOSPC and free is not None:
        reason += f" ({size(free)} free)"
    what = f"`{name}` in {folder}" if name else f"{folder}"
    return f"Cannot write {what}: {reason}; {_advice(number, folder)}, then repeat the command."


def _errno(error: Exception, folder: Path) -> int | None:
    """Return the system's number of an error in writing below `folder`, 0 for an unknown one; None for other errors."""
    if isinstance(error, OSError):
        named = [name for name in (error.filename, error.filename2) if isinstance(name, str | bytes | os.PathLike)]
        if named and not any(_is_related(Path(os.fsdecode(name)), folder) for name in named):
            return None
        return error.errno or 0
    kind, text = type(error).__name__, str(error)
    if kind == "SafetensorError" and (match := re.search(r"os error (\d+)", text)):
        return int(match.group(1))
    if isinstance(error, RuntimeError) and re.search(r"PytorchStreamWriter|inline_container|iostream error", text):
        return 0
    return None


def _is_related(named: Path, folder: Path) -> bool:
    """Return whether one of the paths lies within the other."""
    first, second = Path(os.path.abspath(named)), Path(os.path.abspath(folder))
    return first.is_relative_to(second) or second.is_relative_to(first)


def _advice(number: int, folder: Path) -> str:
    """Return what a user can do about an error in writing to a folder."""
    of_cache = Path(os.path.abspath(folder)).is_relative_to(os.path.abspath(cache_folder()))
    if number == errno.ENAMETOOLONG:
        return "shorten the names of the inputs or of the folder"
    other = "set SAMTUNE_CACHE to a folder on another disk" if of_cache else "choose a folder on another disk"
    if number in NO_SPACE:
        return f"free some space, or {other}"
    return "set SAMTUNE_CACHE to a folder that can be written to" if of_cache else "choose another folder"


def _free_bytes(folder: Path) -> int | None:
    """Return the free bytes on the disk of a folder; None if they are unknown."""
    try:
        existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.is_dir())
        return shutil.disk_usage(existing).free
    except (OSError, StopIteration):
        return None


def _to_disk(file: Path) -> None:
    """Wait until the file's content is on the disk, so that the new name never leads to an empty file."""
    number = os.open(file, os.O_RDWR)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _partial_stem(name: str) -> str:
    """Return the first part of a partial file's name: a hash, since the file's own name may have the largest length."""
    return f"{PARTIAL_PREFIX}{hashlib.sha256(os.fsencode(name)).hexdigest()[:16]}"


@cache
def _host() -> str:
    """Return a short identifier of this machine."""
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]


def _is_abandoned(partial: Path) -> bool:
    """Return whether the process that was writing a partial file has ended; by age for another machine."""
    if time.time() - partial.lstat().st_mtime > ABANDONED_S:
        return True
    host, pid = [*partial.name.split("-"), "", "", ""][2:4]
    if host != _host() or not pid.isdigit() or os.name != "posix":
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False
