"""Reading of small files that somebody else may have written: only regular ones, up to a size, into plain values.

A named pipe blocks the reader, a device never ends, deep nesting overflows the stack: each is refused before it is
opened or parsed.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samtune.errors import DataError
from samtune.printable import one_line, shown

if TYPE_CHECKING:
    from samtune.errors import SamTuneError

MAX_TEXT_BYTES = 64 * 2**20
"""Size of the largest text file that is read: about that of a manifest of a million lines."""

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


def as_path(path: str | Path, error: type[SamTuneError] = DataError) -> Path:
    """Return a path that a user gave, after checking that a file can have it.

    Raises:
        SamTuneError: as `error`; it holds NUL or what file names cannot encode, is too long, or its links go round.
    """
    try:
        os.stat(path)
    except (ValueError, TypeError) as reason:
        raise error(f"Expected a path, got {shown(path)}; check its characters.") from reason
    except OSError as reason:
        if reason.errno in (errno.ENAMETOOLONG, errno.ELOOP):
            raise error(f"Expected a path, got {shown(str(path))} ({reason.strerror}).") from reason
    return Path(path)


def check_regular(file: Path, error: type[SamTuneError] = DataError) -> int:
    """Check that a path is a regular file or a link to one, without opening it.

    Args:
        file: the path.
        error: the exception class to raise.

    Returns:
        The size of the file in bytes.

    Raises:
        SamTuneError: as `error`; nothing is there, or a folder, a pipe, a device or a socket is.
    """
    name = one_line(str(file))
    try:
        status = file.stat()
    except (OSError, ValueError) as reason:  # ValueError for a NUL in the name
        why = getattr(reason, "strerror", None) or "its name is not valid"
        raise error(f"Cannot read {name}: {why}; check the path.") from reason
    for is_kind, kind in _KINDS:
        if is_kind(status.st_mode):
            raise error(f"Expected a file at {name}, found {kind}; check the path.")
    return status.st_size


def read_text(
    file: Path, error: type[SamTuneError] = DataError, *, limit: int = MAX_TEXT_BYTES, bytes_as_names: bool = False
) -> str:
    """Read a UTF-8 text file, with or without a byte-order mark; newlines stay as they are.

    Args:
        file: a regular file.
        error: the exception class to raise.
        limit: largest size in bytes.
        bytes_as_names: keep bytes that are no UTF-8 as Python does in file names (`os.fsdecode`), for a file that
            names such files.

    Raises:
        SamTuneError: as `error`; it is no regular file, too large, unreadable, not UTF-8, or holds NUL characters.
    """
    name, size = one_line(str(file)), check_regular(file, error)
    if size > limit:
        raise error(f"Expected at most {limit:,} bytes in {name}, found {size:,}; check that it is the right file.")
    try:
        with file.open("rb") as stream:
            content = stream.read(limit + 1)
    except OSError as reason:
        raise error(f"Cannot read {name}: {reason.strerror}; check its permissions.") from reason
    if len(content) > limit:  # a file of /proc, whose size reads as 0
        raise error(f"Expected at most {limit:,} bytes in {name}, found more; check that it is the right file.")
    if content.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in content:
        raise error(f"Expected UTF-8 text in {name}, found UTF-16 or binary data; save it as UTF-8.")
    try:
        return content.decode("utf-8-sig", errors="surrogateescape" if bytes_as_names else "strict")
    except UnicodeDecodeError as reason:
        raise error(
            f"Expected UTF-8 text in {name}, found byte 0x{content[reason.start]:02x} at {reason.start}; save it as "
            "UTF-8."
        ) from reason


def read_json(file: Path, error: type[SamTuneError], *, limit: int = MAX_TEXT_BYTES) -> dict[str, Any]:
    """Read a JSON file that holds one object.

    Args:
        file: a regular file.
        error: the exception class to raise.
        limit: largest size in bytes.

    Raises:
        SamTuneError: as `error`; it cannot be read, is no JSON, names a key twice, or holds no object.
    """
    name = one_line(str(file))
    try:
        values = json.loads(read_text(file, error, limit=limit), object_pairs_hook=_without_doubles)
    except RecursionError as reason:
        raise error(f"Expected JSON in {name}, found brackets nested too deep; copy or download it again.") from reason
    except ValueError as reason:  # also integers of more than 4,300 digits
        why = one_line(str(reason))
        raise error(f"Expected JSON in {name}, but it is broken ({why}); copy or download it again.") from reason
    if not isinstance(values, dict):
        raise error(f"Expected a JSON object in {name}, found {type(values).__name__}; copy or download it again.")
    return values


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("a key is there twice")
    return values
