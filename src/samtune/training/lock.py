"""Lock of a folder that one process at a time may write to: a file with the names of host and process.

The operating system locks the file too, so the lock of a process that has ended is recognised on the same machine.
Another machine that shares the disk may not see that lock, so it goes by the host's name in the file.
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
"""Folders that this process has locked, and the thread that did."""


@contextmanager
def locked(folder: Path, content: str) -> Iterator[None]:
    """Lock a folder for the duration of a block; a nested block of the same thread has no effect.

    Args:
        folder: folder to lock; created if missing, and removed again if it stays empty.
        content: content of the folder in messages, such as "run".

    Raises:
        ConfigError: another process or thread has locked the folder, or the lock file is not samtune's.
        OutputError: the lock file cannot be written.
    """
    own = Path(os.path.realpath(folder))
    if _held.get(own) == threading.get_ident():
        yield
        return
    file = folder / LOCK_FILE
    with reported(folder, LOCK_FILE):
        made = _make(folder)
        descriptor = _take(file, content)
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
    """Create a folder with its parents, and return the created folders, the innermost first."""
    missing = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return missing


def _take(file: Path, content: str) -> int:
    """Open and lock the file, and return its descriptor."""
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        try:
            is_locked = _lock(descriptor)
            owner = _read(descriptor)
            if is_locked is not False and not owner and os.fstat(descriptor).st_size:
                raise ConfigError(f"{file} is not a lock file of samtune; move it, or use another folder.")
            _check(file, content, owner, is_locked)
            if _is_at(file, descriptor):
                if owner:
                    say(
                        f"Taking over the {content} in {file.parent} from process {owner['pid']}, which no longer runs."
                    )
                _write(descriptor)
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its owner removed the file meanwhile


def _check(file: Path, content: str, owner: dict[str, Any], is_locked: bool | None) -> None:
    """Raise ConfigError where another process holds the lock, or may hold it on another machine."""
    if owner and owner["host"] != platform.node():
        raise ConfigError(
            f"Process {owner['pid']} on {owner['host']} is working on the {content} in {file.parent}; this machine is "
            f"{platform.node()}. Wait for it, or delete {file} if it no longer runs."
        )
    alive = bool(owner) and owner["pid"] != os.getpid() and _is_alive(owner["pid"])
    if is_locked is False or (is_locked is None and alive):
        who = f"process {owner['pid']}" if owner else "another process"
        raise ConfigError(f"The {content} in {file.parent} is in use by {who}; wait for it, or use another folder.")


def _read(descriptor: int) -> dict[str, Any]:
    """Return "host" and "pid" of the owner; empty where the file names none."""
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
        """Lock an open file until it is closed.

        Returns:
            Whether that succeeded; None on a disk without locks.
        """
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
