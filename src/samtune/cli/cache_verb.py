"""`samtune cache` and `samtune cache clean`."""

from __future__ import annotations

import sys
import time
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from samtune.cli.options import Json
from samtune.cli.output import emit
from samtune.errors import ConfigError, OutputError
from samtune.text import count, size

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from samtune.array_store import Entry

DAY_S = 24 * 3600
LONGEST_DAYS = 100_000

app = typer.Typer(help="Show and clean the cache of features.")


@app.callback(invoke_without_command=True)
def cache(context: typer.Context, as_json: Json = False) -> None:
    """Show where the cache of features lies, its size, and the age of its entries."""
    context.obj = as_json
    if context.invoked_subcommand is not None:
        return
    from samtune.array_store import ArrayStore

    store = ArrayStore.default()
    entries = store.entries()
    times = [entry.written_ns / 1e9 for entry in entries]
    content: dict[str, Any] = _totals(store.folder, entries) | {
        "oldest": _iso(min(times)) if times else None,
        "newest": _iso(max(times)) if times else None,
    }
    lines = [f"Cache of features: {store.folder}", f"  {_amount(entries)}"]
    if entries:
        lines += [f"  oldest: {content['oldest']}", f"  newest: {content['newest']}"]
        lines.append("Remove them, or the old ones: samtune cache clean [--older-than DAYS]")
    else:
        lines.append("Training and comparisons fill it; SAMTUNE_CACHE names another folder.")
    emit(content, "\n".join(lines), as_json=as_json)


@app.command("clean")
def clean(
    context: typer.Context,
    older_than: Annotated[
        int,
        typer.Option(
            "--older-than", metavar="DAYS", min=0, max=LONGEST_DAYS, help="Keep entries of the last DAYS. Default: 0."
        ),
    ] = 0,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Remove cached features; commands that need them, also running ones, compute them again."""
    from samtune.array_store import ArrayStore

    as_json = as_json or bool(context.obj)
    store = ArrayStore.default()
    entries = store.entries()
    if older_than:
        before_ns = time.time_ns() - older_than * DAY_S * 10**9
        entries = [entry for entry in entries if entry.written_ns < before_ns]
    if entries and not yes and not _agreed(f"Remove {_amount(entries)} from {store.folder}?", as_json=as_json):
        emit({}, "Nothing was removed.", as_json=False)
        return
    done = store.remove(entries)
    content = _totals(store.folder, done.removed) | {"num_failed": len(done.failed)}
    emit(content, f"Removed {_amount(done.removed)} from {store.folder}.", as_json=as_json)
    if done.failed:
        entry, error = done.failed[0]
        raise OutputError(
            f"{count(len(done.failed), 'entry', 'entries')} could not be removed, such as {entry.file} "
            f"({error.strerror or error}); end the programs that use them, or check the permissions, and repeat the "
            "command."
        )


def _agreed(question: str, *, as_json: bool) -> bool:
    """Return the user's answer.

    Raises:
        ConfigError: nobody can be asked.
    """
    if as_json or not sys.stdin.isatty():
        raise ConfigError("Expected --yes, since nobody can be asked here; nothing was removed.")
    return typer.confirm(question, err=True)


def _totals(folder: Path, entries: Sequence[Entry]) -> dict[str, Any]:
    num_bytes = sum(entry.num_bytes for entry in entries)
    return {"folder": str(folder), "num_entries": len(entries), "num_bytes": num_bytes}


def _amount(entries: Sequence[Entry]) -> str:
    return f"{count(len(entries), 'entry', 'entries')}, {size(sum(entry.num_bytes for entry in entries))}"


def _iso(time_s: float) -> str:
    """Return a time since 1970 as ISO 8601 with the time zone of this machine."""
    return datetime.fromtimestamp(time_s).astimezone().isoformat(timespec="seconds")
