"""Ctrl-C and SIGTERM as requests to stop at the next point where nothing is lost.

Within `interruptible()` the first signal only sets a flag. Long work checks it between its steps (`check`), so that
the state it saves is that after a complete step. A second signal raises KeyboardInterrupt at once, and leaves the last
checkpoint on disk, as a kill does.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

SAME_PRESS_S = 0.25
"""Seconds in which a second signal counts as the same press of Ctrl-C, forwarded by a program in between."""

LAUNCHER_S = 10.0
"""The same with several processes, whose launcher repeats the signal that the terminal has sent to each."""

POLL_S = 0.2
"""Seconds between two checks for a signal while waiting for other processes."""


class Interrupted(KeyboardInterrupt):
    """An interruption between two steps, where the state can be saved."""


@dataclass
class _Request:
    """State of an `interruptible` block.

    Attributes:
        number: number of the first signal; None before one.
        at: time of the first signal, in monotonic seconds.
        honoured: whether the program has stopped for it.
    """

    number: int | None = None
    at: float = 0.0
    honoured: bool = False


_active: _Request | None = None


@contextmanager
def interruptible() -> Iterator[None]:
    """Turn Ctrl-C and SIGTERM into requests to stop for the duration of a block.

    The block has no effect outside the main thread or within another `interruptible` block. Signals that are ignored
    or have a handler of their own are left alone. A signal that nothing stopped for is sent again at the end of the
    block, to the previous handlers.
    """
    global _active
    if _active is not None or threading.current_thread() is not threading.main_thread():
        yield
        return
    request = _active = _Request()
    before: dict[signal.Signals, Any] = {}
    try:
        for number, default in ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL)):
            if signal.getsignal(number) == default:
                before[number] = default
                signal.signal(number, _handle)
        yield
    finally:
        _active = None
        for number, handler in before.items():
            signal.signal(number, handler)
    if request.number is not None and not request.honoured:
        signal.raise_signal(request.number)


def stop_requested() -> bool:
    """Return whether a signal came that nothing has stopped for yet; always False outside the main thread."""
    request = _active
    if request is None or threading.current_thread() is not threading.main_thread():
        return False
    return request.number is not None and not request.honoured


def honour() -> None:
    """Record that the program stops for the signal, so that it is not sent again."""
    if _active is not None:
        _active.honoured = True


def check() -> None:
    """Raise `Interrupted` if a signal came.

    Raises:
        Interrupted: a signal came that nothing has stopped for yet.
    """
    if stop_requested():
        honour()
        raise Interrupted


def _handle(number: int, frame: object) -> None:
    request, now = _active, time.monotonic()
    if request is None:
        raise KeyboardInterrupt
    if request.number is not None:
        same_s = LAUNCHER_S if int(os.environ.get("WORLD_SIZE", "1")) > 1 else SAME_PRESS_S
        if now - request.at < same_s:
            return
        raise KeyboardInterrupt
    request.number, request.at = number, now
    with suppress(Exception):  # a handler may not use streams that the interrupted code is writing to
        if sys.stderr.isatty() and int(os.environ.get("RANK", "0")) == 0:
            os.write(sys.stderr.fileno(), b"\nStopping after this step; press Ctrl-C again to stop at once.\n")
