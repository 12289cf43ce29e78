"""Files that somebody else made, for the tables of adapters and bases: no file at all, and JSON that is none."""

from __future__ import annotations

import os
from pathlib import Path

NO_FILES = ("a folder", "a named pipe", "a device")

BROKEN_JSON: list[tuple[bytes, str]] = [
    (b"", "is broken"),
    (b"{", "is broken"),
    (b"[1]", "Expected a JSON object"),
    (b"null", "Expected a JSON object"),
    (b'{"format_version": ' + b"9" * 5000 + b"}", "is broken"),
    (b"[" * 100_000, "nested too deep"),
    (b'{"a":' * 100_000, "nested too deep"),
    (b'{"side": 1, "side": 2}', "a key occurs twice"),
    (b"\xff\xfe{\0}\0", "found UTF-16 or binary data"),
    (b"\0" * 100, "found UTF-16 or binary data"),
    (b'{"method": "\xff"}', "found byte 0xff at 12"),
    (b"\xff", "found byte 0xff at 0"),
    (b" " * (2**20 + 1), "Expected at most 1,048,576 bytes"),
]
"""(content of a configuration file, words of the refusal)."""


def replace_by(file: Path, kind: str) -> None:
    """Put something that is no file under a file's name."""
    file.unlink()
    if kind == "a folder":
        file.mkdir()
    elif kind == "a named pipe":
        os.mkfifo(file)
    else:
        file.symlink_to("/dev/zero")
