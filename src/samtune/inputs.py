"""Reading of small files of unknown origin: only regular files up to a size limit, into plain values.

A named pipe would block the reader, a device never ends, and deep nesting overflows the stack; each raises an error
instead.
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
"""Size of the largest text file that is read: about a manifest of a million lines."""

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
        SamTuneError: as `error`; the path contains NUL or characters that file names cannot encode, is too long, or
            its links form a loop.
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
        SamTuneError: as `error`; there is no such file, or it is a folder, a pipe, a device or a socket.
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
        bytes_as_names: keep bytes that are not UTF-8 as Python does in file names (`os.fsdecode`), for a file that
            lists file names.

    Raises:
        SamTuneError: as `error`; it is no regular file, too large, unreadable, not UTF-8, or contains NUL characters.
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
        SamTuneError: as `error`; it cannot be read, is not JSON, repeats a key, or contains no object.
    """
    name = one_line(str(file))
    try:
        values = json.loads(read_text(file, error, limit=limit), object_pairs_hook=_unique_keys)
    except RecursionError as reason:
        raise error(f"Expected JSON in {name}, found brackets nested too deep; copy or download it again.") from reason
    except ValueError as reason:  # also integers of more than 4,300 digits
        why = one_line(str(reason))
        raise error(f"Expected JSON in {name}, but it is broken ({why}); copy or download it again.") from reason
    if not isinstance(values, dict):
        raise error(f"Expected a JSON object in {name}, found {type(values).__name__}; copy or download it again.")
    return values


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the items of a JSON object as a dictionary.

    Raises:
        ValueError: a key occurs twice, of which Python would drop one.
    """
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("a key occurs twice")
    return values
