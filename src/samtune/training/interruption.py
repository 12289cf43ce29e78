"""Ctrl-C and SIGTERM as a request that is honoured where a run can stop without loss.

Within `interruptible()` the first signal only sets a flag. Long work asks for it between its steps (`check`), where
everything in memory is whole, so that what is saved then is the state after a whole step. A second signal raises
KeyboardInterrupt at once, wherever the program is; what lies on disk is then the last checkpoint, as after a kill.
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
"""A signal that follows the first within this time is the same press of Ctrl-C, forwarded by a program in between."""

LAUNCHER_S = 10.0
"""The same in a launch of several processes: the launcher sends its workers what the terminal sent them already."""

POLL_S = 0.2
"""How often a process that waits for others asks whether it was interrupted."""


class Interrupted(KeyboardInterrupt):
    """An interruption at a point where everything in memory is whole."""


@dataclass
class _Request:
    """The state of an `interruptible` block.

    Attributes:
        number: of the signal that came; None before one.
        at: when it came, monotonic seconds.
        honoured: whether the program stopped for it.
    """

    number: int | None = None
    at: float = 0.0
    honoured: bool = False


_active: _Request | None = None


@contextmanager
def interruptible() -> Iterator[None]:
    """Turn Ctrl-C and SIGTERM into a request for the time of the block.

    Only the main thread can do so; in another one the block changes nothing. Within another `interruptible` block it
    changes nothing either. A handler that somebody else installed, and a signal that is ignored, are left alone. If a
    signal came and nothing stopped for it, it is sent again at the end of the block, to the handlers from before.
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
    """Whether a signal came that was not honoured yet; always False outside the main thread."""
    request = _active
    if request is None or threading.current_thread() is not threading.main_thread():
        return False
    return request.number is not None and not request.honoured


def honour() -> None:
    """Record that the program stops for the signal, so that it is not sent again."""
    if _active is not None:
        _active.honoured = True


def check() -> None:
    """Stop here if a signal came.

    Raises:
        Interrupted: it did.
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
