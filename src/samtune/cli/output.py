"""Output of verbs on stdout: text for people, or with --json one object and nothing else."""

from __future__ import annotations

import json
import math
import os
import sys
from typing import TYPE_CHECKING, Any, TextIO

from samtune.printable import json_printable, printable

if TYPE_CHECKING:
    from collections.abc import Sequence


def is_main_process() -> bool:
    """Return whether this process prints and writes: the first of several, or the only one."""
    return int(os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0"))) == 0


def emit(content: dict[str, Any], text: str, *, as_json: bool) -> None:
    """Print a verb's result.

    Args:
        content: content of the JSON output; NaN and infinite values become null.
        text: text for people.
        as_json: whether to print `content` instead of `text`.
    """
    if is_main_process():
        if as_json:
            text = json_printable(json.dumps(_plain(content), allow_nan=False, ensure_ascii=False))
        print_safely(text)


def print_safely(text: str, stream: TextIO | None = None) -> None:
    r"""Print text that may hold any file name, on any terminal.

    Control characters, bytes that are not UTF-8 and characters that the stream's encoding lacks are shown as escapes
    (`\x1b`), so that printing never fails after the work is done.

    Args:
        text: text with newlines.
        stream: stream to print to; None for stdout.
    """
    stream = sys.stdout if stream is None else stream
    encoding = getattr(stream, "encoding", None) or "utf-8"
    print(printable(text).encode(encoding, errors="backslashreplace").decode(encoding), file=stream, flush=True)


def table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Return columns of text, the first aligned left and the others right."""
    lines = [header, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    padded = [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    return "\n".join(padded)


def _plain(value: Any) -> Any:
    """Return `value` with JSON types only."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)
