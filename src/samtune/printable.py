"""Safe display of text from outside: file names, class names, and values of settings.

A file name may contain a newline, an escape sequence that moves a terminal's cursor, or bytes that are not UTF-8 (lone
surrogates in Python). Printed unchanged, these can forge lines of a log, or cannot be encoded.
"""

from __future__ import annotations

import math
import re
from typing import Any

_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters but tab and newline
    "\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"  # line separators, and marks that turn the direction of text
    "\ud800-\udfff\ufeff]"  # lone surrogates, byte-order mark
)
_UNSAFE_IN_A_LINE = re.compile(f"{_UNSAFE.pattern}|[\t\n]")
MAX_SHOWN = 80
"""Largest number of characters of a value in a message."""


def printable(text: str) -> str:
    r"""Return text with control characters and lone surrogates as escapes such as `\x1b`; newlines and tabs stay."""
    return _UNSAFE.sub(_escape, text)


def one_line(text: str) -> str:
    r"""Return text as `printable` does, with newlines and tabs as `\n` and `\t` too; for names inside a sentence."""
    return _UNSAFE_IN_A_LINE.sub(_escape, text)


def json_printable(text: str) -> str:
    r"""Return a JSON document with the same characters as JSON escapes (`\u001b`), which read back unchanged."""
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def is_name(text: str) -> bool:
    """Return whether a file could have this name: no NUL, and surrogates only for bytes that are not UTF-8."""
    return "\0" not in text and not any("\ud800" <= c <= "\udfff" and not "\udc80" <= c <= "\udcff" for c in text)


def is_unicode(text: str) -> bool:
    """Return whether text can be written as UTF-8; lone surrogates cannot."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def shown(value: Any, limit: int = MAX_SHOWN) -> str:
    """Return a value of any type in at most `limit` characters, for error messages.

    Never fails and stays fast, whatever the value: numbers of thousands of digits, deep nesting, objects whose `repr`
    raises.
    """
    if isinstance(value, str):
        text = repr(value[: limit + 1])
    elif isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**limit:
        return f"a number of about {int(value.bit_length() * math.log10(2)) + 1} digits"
    elif isinstance(value, list | tuple | dict | set | frozenset) and len(value) > limit:
        return f"a {type(value).__name__} of {len(value)} items"
    else:
        try:
            text = repr(value)
        except Exception:  # RecursionError, ValueError of huge integers, or whatever a foreign `repr` raises
            return f"a value of type {type(value).__name__}"
    text = one_line(text)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    if character in "\t\n\r":
        return {"\t": "\\t", "\n": "\\n", "\r": "\\r"}[character]
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a file name that is no UTF-8 (`os.fsdecode`)
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
