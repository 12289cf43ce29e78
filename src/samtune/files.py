"""Files that are there whole or not at all: written under another name, and put in place once they are complete.

Whoever reads meets the old content or the new, also after a kill, and whatever goes wrong leaves the old.
"""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


_UMASK = os.umask(0)
os.umask(_UMASK)
MODE = 0o666 & ~_UMASK
"""The permissions of a new file here. Some libraries write files that only their owner may read, whatever the umask
says; a group that shares a folder could then not load what one of it trained."""


@contextmanager
def whole(file: Path, *, shared: bool = False) -> Iterator[Path]:
    """A path to write to, in the file's own folder, which takes the file's place at the end of the block.

    Args:
        file: to be written; its folder is there.
        shared: several processes may write this file at once, so each gets a path of its own. What a kill leaves of
            such a path stays; else the next writer takes it over.

    Yields:
        The path. If the block raises, it is removed and the file stays as it was.
    """
    partial = file.with_name(f"{file.name}.{os.getpid()}.partial" if shared else f"{file.name}.partial")
    try:
        yield partial
        partial.chmod(MODE)
        os.replace(partial, file)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write_text(file: Path, text: str, *, shared: bool = False) -> None:
    """Write a text file, UTF-8, whole or not at all; `shared` as for `whole`."""
    with whole(file, shared=shared) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(file: Path, content: dict[str, Any], *, shared: bool = False) -> None:
    """Write a JSON file whole or not at all; `shared` as for `whole`."""
    write_text(file, json.dumps(content, indent=2) + "\n", shared=shared)
