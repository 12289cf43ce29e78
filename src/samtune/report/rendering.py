"""Templates of this folder to one HTML file; what is filled in is text, never markup."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Any

import jinja2

from samtune.report import words

if TYPE_CHECKING:
    from pathlib import Path


def render(template: str, **values: Any) -> str:
    """Fill a template; a value that it names and does not get is an error.

    Args:
        template: file name in this folder.
        values: by the names that the template uses.
    """
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_source),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        decimals=words.decimals, plain=words.plain, duration=words.duration, signed=words.signed, size=words.size
    )
    return environment.get_template(template).render(**values)


def write_page(file: Path, html: str) -> Path:
    """Write a page; characters that are not Unicode (odd file names) become question marks."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(html, encoding="utf-8", errors="replace")
    return file


def _source(name: str) -> str:
    return files("samtune.report").joinpath(name).read_text(encoding="utf-8")
