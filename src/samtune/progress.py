"""Progress of long work: loops report to one `Progress`, which renders it in a terminal, a page or a notebook.

The default draws a bar on stderr if that is a terminal, and writes sentences to the log "samtune", which the command
line shows on stderr.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Sized
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from samtune.errors import ConfigError
from samtune.printable import one_line, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from contextlib import AbstractContextManager

T = TypeVar("T")
logger = logging.getLogger("samtune")

LINE_EVERY_S = 10.0
"""Seconds between two lines on a loop, where there is no terminal to draw a bar in."""


class Progress(Protocol):
    """Renderer of progress. Loops may nest: `advanced` and `finished` refer to the innermost loop that has started."""

    def started(self, description: str, total: int | None) -> None:
        """Begin a loop with a description of a few words, and the number of items where it is known."""

    def advanced(self) -> None:
        """Count one more item of the loop as done."""

    def said(self, sentence: str) -> None:
        """Show one sentence, such as what the program assumed or decided."""

    def finished(self) -> None:
        """End the loop, also where an error ended it."""


class TerminalProgress:
    """Renderer with bars on stderr if that is a terminal, and sentences as log records."""

    def __init__(self) -> None:
        self._bars: list[Any] = []

    def started(self, description: str, total: int | None) -> None:
        """See `Progress`."""
        self._bars.append(_bar(description, total) if sys.stderr.isatty() else None)

    def advanced(self) -> None:
        """See `Progress`."""
        if self._bars[-1] is not None:
            self._bars[-1].advance(0)

    def said(self, sentence: str) -> None:
        """See `Progress`."""
        logger.info("%s", one_line(sentence))

    def finished(self) -> None:
        """See `Progress`."""
        bar = self._bars.pop()
        if bar is not None:
            bar.stop()


@dataclass
class _Loop:
    """A loop that has started: its description, number of items, and time of its last line (monotonic seconds)."""

    description: str
    total: int | None
    done: int = 0
    line_at: float = field(default_factory=time.monotonic)


class PrintingProgress(TerminalProgress):
    """Renderer for calls from Python: sentences as lines on stderr, or as log records if the log "samtune" shows them.

    Loops are bars if stderr is a terminal; elsewhere, as in a notebook, a line every ten seconds.
    """

    def __init__(self) -> None:
        super().__init__()
        self._loops: list[_Loop] = []

    def started(self, description: str, total: int | None) -> None:
        """See `Progress`."""
        super().started(description, total)
        self._loops.append(_Loop(description, total))

    def advanced(self) -> None:
        """See `Progress`."""
        super().advanced()
        loop = self._loops[-1]
        loop.done += 1
        if self._bars[-1] is None and time.monotonic() - loop.line_at >= LINE_EVERY_S:
            loop.line_at = time.monotonic()
            of_total = "" if loop.total is None else f" of {loop.total}"
            self.said(f"{loop.description}: {loop.done}{of_total}")

    def said(self, sentence: str) -> None:
        """See `Progress`."""
        if logger.isEnabledFor(logging.INFO) and logger.hasHandlers():
            super().said(sentence)
        else:
            print(one_line(sentence), file=sys.stderr, flush=True)

    def finished(self) -> None:
        """See `Progress`."""
        self._loops.pop()
        super().finished()


class SilentProgress:
    """Renderer that shows nothing."""

    def started(self, description: str, total: int | None) -> None:
        """See `Progress`."""

    def advanced(self) -> None:
        """See `Progress`."""

    def said(self, sentence: str) -> None:
        """See `Progress`."""

    def finished(self) -> None:
        """See `Progress`."""


_current: Progress = TerminalProgress()


@contextmanager
def reporting_to(progress: Progress) -> Iterator[None]:
    """Report the progress of all work within the block, of every thread, to another renderer."""
    global _current
    before, _current = _current, progress
    try:
        yield
    finally:
        _current = before


def showing(progress: Progress | bool) -> AbstractContextManager[None]:
    """Return a context within which all work is reported as a caller in Python asks.

    Args:
        progress: True for lines and bars on stderr, or for the renderer of an enclosing `reporting_to`; False for
            silence; or a renderer.

    Raises:
        ConfigError: it is neither a bool nor has the methods of `Progress`.
    """
    if progress is True:
        return reporting_to(PrintingProgress()) if type(_current) is TerminalProgress else nullcontext()
    if progress is False:
        return reporting_to(SilentProgress())
    methods = ("started", "advanced", "said", "finished")
    if isinstance(progress, type) or not all(callable(getattr(progress, name, None)) for name in methods):
        raise ConfigError(
            f"Expected `progress` to be True, False or an object with the methods {', '.join(methods)}, got "
            f"{shown(progress)}."
        )
    return reporting_to(progress)


def say(sentence: str) -> None:
    """Show the user one sentence: a line on stderr from the command line, a log record from Python."""
    _current.said(sentence)


def track(items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """Yield items one by one and report how far the loop is.

    Args:
        items: items to go through.
        description: what the loop does, in a few words.
        total: number of items; None takes the length of `items` where it has one.
    """
    progress = _current
    progress.started(description, len(items) if total is None and isinstance(items, Sized) else total)
    try:
        for item in items:
            yield item
            progress.advanced()
    finally:
        progress.finished()


def _bar(description: str, total: int | None) -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("[progress.description]{task.description}"),
        BarColumn(),
        TaskProgressColumn(show_speed=True),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    bar = Bar(*columns, console=Console(stderr=True), transient=True)
    bar.add_task(description, total=total)
    bar.start()
    return bar
