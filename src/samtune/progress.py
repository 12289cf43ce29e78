"""Progress on stderr: a bar in a terminal, nothing elsewhere; and `say`, for what the program assumed or decided."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, TypeVar

from samtune.printable import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

T = TypeVar("T")
logger = logging.getLogger("samtune")


def say(sentence: str) -> None:
    """Show the user one sentence: a line on stderr from the command line, a log record from Python."""
    logger.info("%s", one_line(sentence))


def track(items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """Yield `items` one by one and draw a bar on stderr if that is a terminal.

    Args:
        items: items to go through.
        description: what is done to them, in a few words.
        total: number of items; None takes the length of `items` where it has one.
    """
    if not sys.stderr.isatty():
        yield from items
        return
    from rich.console import Console
    from rich.progress import track as rich_track

    yield from rich_track(items, description, total=total, console=Console(stderr=True), transient=True)
