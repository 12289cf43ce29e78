"""Objects in Python: their one-line `repr`, and their HTML in notebooks, without scripts, styles or external files."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from samtune.printable import one_line, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


def one_line_repr(name: str, facts: Mapping[str, object]) -> str:
    """Return a `repr` of one line, such as `Dataset(images=6, classes=['cell'])`; long values are cut.

    Args:
        name: name of the class.
        facts: name -> value, in order; floats are shown with three decimals.
    """
    return f"{name}({', '.join(f'{key}={_value(value)}' for key, value in facts.items())})"


def html_card(
    name: str,
    facts: Mapping[str, object],
    *,
    header: Sequence[str] = (),
    rows: Iterable[Sequence[object]] = (),
    sentences: Iterable[str] = (),
) -> str:
    """Return a self-contained piece of HTML; all text is escaped.

    Args:
        name: name of the class, the title.
        facts: name -> value, one line below the title.
        header: names of the table's columns; without them there is no table.
        rows: cells of the table; floats are shown with three decimals.
        sentences: text below the table, one paragraph each.
    """
    parts = [f"<p><b>{_text(name)}</b>: {', '.join(f'{_text(k)} {_text(_plain(v))}' for k, v in facts.items())}</p>"]
    if header:
        body = [_row("td", row) for row in rows]
        parts.append(f"<table><thead>{_row('th', header)}</thead><tbody>{''.join(body)}</tbody></table>")
    parts += [f"<p>{_text(sentence)}</p>" for sentence in sentences]
    return f"<div>{''.join(parts)}</div>"


def _row(tag: str, cells: Iterable[object]) -> str:
    return f"<tr>{''.join(f'<{tag}>{_text(_plain(cell))}</{tag}>' for cell in cells)}</tr>"


def _value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{shown(key)}: {_value(each)}' for key, each in value.items())}}}"
    return shown(value)


def _plain(value: object) -> str:
    """Return a value without quotes and brackets, for HTML."""
    if isinstance(value, list | tuple):
        return ", ".join(_plain(each) for each in value)
    return value if isinstance(value, str) else _value(value)


def _text(text: str) -> str:
    return escape(one_line(text))
