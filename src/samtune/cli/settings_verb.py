"""`samtune settings`."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Annotated

import typer

from samtune.cli.options import Json
from samtune.cli.output import emit

if TYPE_CHECKING:
    from samtune.training.reference import Setting

WIDTH = 80
"""Columns of the text."""


def settings(
    method: Annotated[
        str, typer.Option("--method", metavar="NAME", help="Method whose fields and defaults are listed.")
    ] = "ptsam",
    as_json: Json = False,
) -> None:
    """List every setting of a training and of a method: type, range, default and meaning."""
    from samtune.training.reference import settings_of

    listed = settings_of(method)
    text = (
        f"Settings of a training with {method}. Write them as --set NAME=VALUE, or as NAME = VALUE in the file of "
        "--config: there, those of the method go below the line [method_fields], without `method.`."
    )
    parts = [_wrapped(text, ""), *map(entry, listed)]
    emit({"method": method, "settings": [vars(setting) for setting in listed]}, "\n\n".join(parts), as_json=as_json)


def entry(setting: Setting) -> str:
    """Return the lines on a setting: its name, what it takes and its default, and its meaning."""
    head = setting.name + (f"  (also {', '.join(setting.aliases)})" if setting.aliases else "")
    origin = " (the method's recipe)" if setting.source == "recipe" else ""
    lines = [
        _wrapped(head, ""),
        _wrapped(f"{_takes(setting)}; default: {setting.default}{origin}", "    "),
    ]
    return "\n".join(lines + ([_wrapped(setting.help, "    ")] if setting.help else []))


def _takes(setting: Setting) -> str:
    """Return the type with its range or words."""
    if setting.words:
        return " | ".join(setting.words)
    low, high = (None if bound is None else f"{bound:.10g}" for bound in (setting.low, setting.high))
    if low is None and high is None:
        return setting.type
    if low is None or high is None:
        return f"{setting.type}, {'<=' if low is None else '>='} {high if low is None else low}"
    return f"{setting.type}, {low} to {high}"


def _wrapped(text: str, indent: str) -> str:
    return textwrap.fill(
        text, WIDTH, initial_indent=indent, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
