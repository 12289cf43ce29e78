"""Valid content, damaged: bytes flipped, cut, doubled and overwritten, values swapped for any others."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from hypothesis import strategies as st

EXTREMES = (0, 1, 2, 3, 127, 128, 255, 256, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
"""Numbers that sizes, counts and offsets overflow at."""

NAMES = [
    "",
    ".",
    "..",
    "/",
    "\0",
    "\n",
    "\x1b[2J",
    "²",
    "😀",
    "\udcff",
    "\ud800",
    "=1",
    "a" * 300,
    "nan",
    "-0",
    "1e999",
]

numbers = st.one_of(
    st.sampled_from([0, 1, -1, 2, 3, 64, 255, 256, 1024, 4096, 10**6, 2**31, 2**53, 2**63, 10**30, 10**400]),
    st.sampled_from([0.0, -0.0, 0.5, 1.5, -1.5, 1e-300, 1e300, math.inf, -math.inf, math.nan]),
    st.integers(-10, 300),
)
scalars = st.one_of(st.none(), st.booleans(), numbers, st.sampled_from(NAMES), st.text(max_size=8))
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
"""Anything that JSON can say, and some that it cannot."""


@st.composite
def damaged(draw: st.DrawFn, contents: Sequence[bytes], most: int = 6) -> bytes:
    """One of some contents after up to `most` edits; half of the edits near the start, where headers stand."""
    content = bytearray(draw(st.sampled_from(contents)))
    for _ in range(draw(st.integers(0, most))):
        if not content:
            break
        last = len(content) - 1
        at = draw(st.one_of(st.integers(0, min(last, 160)), st.integers(0, last)))
        edit = draw(st.sampled_from(["flip", "byte", "short", "long", "cut", "drop", "double", "insert"]))
        if edit == "flip":
            content[at] ^= 1 << draw(st.integers(0, 7))
        elif edit == "byte":
            content[at] = draw(st.integers(0, 255))
        elif edit in ("short", "long"):
            size = 2 if edit == "short" else 4
            number = draw(st.sampled_from(EXTREMES)) & (256**size - 1)
            order = draw(st.sampled_from("<>"))
            content[at : at + size] = struct.pack(order + ("H" if size == 2 else "I"), number)
        elif edit == "cut":
            del content[at:]
        else:
            piece = slice(at, at + draw(st.integers(1, 64)))
            if edit == "drop":
                del content[piece]
            elif edit == "double":
                content[at:at] = content[piece]
            else:
                content[at:at] = draw(st.binary(min_size=1, max_size=16))
    return bytes(content)


@st.composite
def swapped(draw: st.DrawFn, content: Any, most: int = 3) -> Any:
    """A tree of dicts and lists with up to `most` values swapped for any others, or keys removed or added."""
    content = deepcopy(content)
    for _ in range(draw(st.integers(1, most))):
        node = content
        while True:
            keys: list[Any] = list(node) if isinstance(node, dict) else list(range(len(node)))
            edit = draw(st.sampled_from(["into", "into", "swap", "swap", "remove", "add"]))
            if edit == "add" or not keys:
                if isinstance(node, dict):
                    node[draw(st.sampled_from(NAMES) | st.text(max_size=6))] = draw(values)
                else:
                    node.append(draw(values))
                break
            key = draw(st.sampled_from(keys))
            if edit == "into" and isinstance(node[key], dict | list):
                node = node[key]
                continue
            if edit == "remove":
                del node[key]
            else:
                node[key] = draw(values)
            break
    return content
