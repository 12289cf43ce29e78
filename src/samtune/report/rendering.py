"""Templates of this folder to one HTML file; what is filled in is text, never markup."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import jinja2

from samtune import text
from samtune.metrics.rows import row_name


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
        decimals=text.decimals,
        plain=text.plain,
        duration=text.duration,
        signed=text.signed,
        size=text.size,
        row_name=row_name,
    )
    return environment.get_template(template).render(**values)


def _source(name: str) -> str:
    return files("samtune.report").joinpath(name).read_text(encoding="utf-8")
