"""One process at a time writes to a folder: a lock file that names the host and the process.

The file is locked by the operating system too, so that a lock whose process is gone never keeps a folder closed on the
same machine. Another machine that shares the disk may not see that, and is told apart by the name in the file.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samtune.errors import ConfigError
from samtune.files import reported
from samtune.progress import say
from samtune.run_folder import LOCK_FILE

if TYPE_CHECKING:
    from collections.abc import Iterator

_held: dict[Path, int] = {}
"""Folders that this process holds, and by which thread."""


@contextmanager
def locked(folder: Path, what: str) -> Iterator[None]:
    """Hold a folder for the time of the block; a block within a block of the same thread changes nothing.

    Args:
        folder: made where it is not there; a new one that stays empty is removed again.
        what: is in it, as in "run".

    Raises:
        ConfigError: another process or thread holds it.
        OutputError: the disk refuses.
    """
    own = Path(os.path.realpath(folder))
    if _held.get(own) == threading.get_ident():
        yield
        return
    file = folder / LOCK_FILE
    with reported(folder, LOCK_FILE):
        made = _make(folder)
        descriptor = _take(file, what)
    _held[own] = threading.get_ident()
    try:
        yield
    finally:
        del _held[own]
        with suppress(OSError):
            file.unlink()
        os.close(descriptor)
        for parent in made:  # from the innermost on
            with suppress(OSError):
                parent.rmdir()


def _make(folder: Path) -> list[Path]:
    """Make a folder; which folders were made, the innermost first."""
    missing = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return missing


def _take(file: Path, what: str) -> int:
    """Open the lock file for this process alone; its descriptor."""
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        try:
            got = _lock(descriptor)
            owner = _read(descriptor)
            if got is not False and not owner and os.fstat(descriptor).st_size:
                raise ConfigError(f"{file} is not samtune's lock; move it, or use another folder.")
            _check(file, what, owner, got)
            if _is_at(file, descriptor):
                if owner:
                    say(f"Taking over the {what} in {file.parent} from process {owner['pid']}, which no longer runs.")
                _write(descriptor)
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its owner removed it in between


def _check(file: Path, what: str, owner: dict[str, Any], got: bool | None) -> None:
    """Refuse a lock that is held, or that may be held on another machine."""
    if owner and owner["host"] != platform.node():
        raise ConfigError(
            f"Process {owner['pid']} on {owner['host']} is working on the {what} in {file.parent}, and this is "
            f"{platform.node()}; wait for it, or delete {file} if it no longer runs."
        )
    alive = bool(owner) and owner["pid"] != os.getpid() and _is_alive(owner["pid"])
    if got is False or (got is None and alive):
        who = f"process {owner['pid']}" if owner else "another process"
        raise ConfigError(f"The {what} in {file.parent} is in use by {who}; wait for it, or use another folder.")


def _read(descriptor: int) -> dict[str, Any]:
    """Who holds the lock, {"host", "pid"}; empty where the file does not say."""
    try:
        os.lseek(descriptor, 0, os.SEEK_SET)
        content = json.loads(os.read(descriptor, 4096))
        return {"host": str(content["host"]), "pid": int(content["pid"])}
    except (ValueError, KeyError, TypeError, OSError):
        return {}


def _write(descriptor: int) -> None:
    os.ftruncate(descriptor, 0)
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.write(descriptor, json.dumps({"host": platform.node(), "pid": os.getpid()}).encode() + b"\n")


def _is_at(file: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(file), os.fstat(descriptor))
    except FileNotFoundError:
        return False


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> bool | None:
        os.lseek(descriptor, 1 << 20, os.SEEK_SET)  # beyond the content, which others may read
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _is_alive(pid: int) -> bool:
        return True

else:
    import fcntl

    def _lock(descriptor: int) -> bool | None:
        """Lock an open file as long as it is open: whether that worked, None on a disk that knows no locks."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return None
        return True

    def _is_alive(pid: int) -> bool:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except OSError:
            return True
        return True
