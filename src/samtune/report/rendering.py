"""Rendering of the templates in this folder to HTML; every value is escaped as text."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup, escape

from samtune import text
from samtune.metrics.rows import row_name


def render(template: str, **values: Any) -> str:
    """Return a filled template.

    Args:
        template: file name in this folder.
        values: values by the names that the template uses; a missing one is an error.
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
        breakable=_breakable,
    )
    return environment.get_template(template).render(**values)


def _breakable(label: str) -> Markup:
    """Return an escaped label that may be broken after an underscore, for narrow windows."""
    return escape(label).replace("_", Markup("_<wbr>"))


def _source(name: str) -> str:
    return files("samtune.report").joinpath(name).read_text(encoding="utf-8")
