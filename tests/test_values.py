"""Values from outside held against types: what passes, as what, and what the refusal says."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from samtune.printable import is_name, is_unicode, json_printable, one_line, printable, shown
from samtune.values import UnfitError, conform, problems_of

PASSES: list[tuple[Any, Any, Any]] = [
    (3, int, 3),
    (np.int64(3), int, 3),
    (np.uint8(3), int, 3),
    (3, float, 3.0),
    (np.float32(0.5), float, 0.5),
    (0.5, int | float, 0.5),
    (np.bool_(True), bool, True),
    (None, int | None, None),
    (["a", "b"], tuple[str, ...], ("a", "b")),
    ([1, 2, 3], tuple[int, int, int], (1, 2, 3)),
    ((1, 2), list[int], [1, 2]),
    ({"a": [1, 2, 3]}, dict[str, tuple[int, int, int]], {"a": (1, 2, 3)}),
    ("b", Literal["a", "b"], "b"),
    ("a", Path, Path("a")),
    (object, Any, object),
    ("\udcff", str, "\udcff"),
]


@pytest.mark.parametrize(("value", "hint", "result"), PASSES, ids=str)
def test_a_value_that_fits_passes(value: Any, hint: Any, result: Any) -> None:
    conformed = conform(value, hint)
    assert conformed == result
    assert type(conformed) is type(result)


REFUSED: list[tuple[Any, Any, str]] = [
    (True, int, "to be a whole number"),
    (True, float, "to be a finite number"),
    (3.0, int, "to be a whole number"),
    (3.7, int, "to be a whole number"),
    ("3", int, "to be a whole number"),
    ("3", float, "to be a finite number"),
    (math.nan, float, "to be a finite number"),
    (-math.inf, float, "to be a finite number"),
    (10**400, float, "to be a finite number"),
    (10**400, int, "to be a whole number up to"),
    (1j, float, "to be a finite number"),
    (1, bool, "to be true or false"),
    ("no", bool, "to be true or false"),
    (None, int, "to be a whole number"),
    ("ab", tuple[str, ...], "to be a list"),
    ([1], tuple[str, ...], "to be a list with each item text"),
    ([1, 2], tuple[int, int, int], "to be a list of 3 items"),
    ([], dict[str, int], "to be a table of names and values"),
    ({1: 1}, dict[str, int], "to be text"),
    (1, str, "to be text"),
    ("a\0", str, "to be text without NUL characters"),
    ("\ud800", str, "to be text without NUL characters and lone surrogates"),
    (b"a", str, "to be text"),
    ([], Literal["a", "b"], "to be one of a, b"),
    (1.5, int | None, "to be a whole number"),
    ("x", int | float, "to be a whole number or a finite number"),
]


@pytest.mark.parametrize(("value", "hint", "words"), REFUSED, ids=lambda value: str(value)[:30])
def test_a_value_that_does_not_fit_is_refused(value: Any, hint: Any, words: str) -> None:
    with pytest.raises(UnfitError, match=words):
        conform(value, hint)


def test_all_problems_are_named_together() -> None:
    hints, ranges = {"a": int, "b": float, "c": str}, {"a": (1, math.inf), "b": (0, 1)}
    values, problems = problems_of({"a": 0, "b": 2, "c": 1, "d": object}, hints, ranges)
    assert problems == [
        "Expected `a` >= 1, got 0",
        "Expected 0 <= `b` <= 1, got 2.0",
        "Expected `c` to be text, got 1",
    ]
    assert values["b"] == 2.0


class Rude:
    def __repr__(self) -> str:
        raise RuntimeError


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (10**5000, "a number of about 5001 digits"),
        (nested(100_000), "a value of type list"),
        (Rude(), "a value of type Rude"),
        (list(range(10_000)), "a list of 10000 items"),
        ("x" * 10**6, "'" + "x" * 76 + "..."),
        ("\x1b[31m\n", r"'\x1b[31m\n'"),
        ("\udcff", r"'\udcff'"),
        ("²", "'²'"),
    ],
    ids=range(8),
)
def test_any_value_is_shown_short_and_fast(value: Any, text: str) -> None:
    start = time.process_time()
    assert shown(value) == text
    assert time.process_time() - start < 1


@pytest.mark.parametrize(
    ("text", "one", "many", "as_json"),
    [
        ("plain é ß 日本 😀", "plain é ß 日本 😀", "plain é ß 日本 😀", "plain é ß 日本 😀"),
        ("a\nb\tc", r"a\nb\tc", "a\nb\tc", "a\nb\tc"),
        ("\x1b[2J", r"\x1b[2J", r"\x1b[2J", r"\u001b[2J"),
        ("a\rb", r"a\rb", r"a\rb", r"a\u000db"),
        ("\x07\x00\x7f\x9b", r"\x07\x00\x7f\x9b", r"\x07\x00\x7f\x9b", r"\u0007\u0000\u007f\u009b"),
        ("gpj.\u202eexe", r"gpj.\u202eexe", r"gpj.\u202eexe", r"gpj.\u202eexe"),
        ("bad\udcff.png", r"bad\xff.png", r"bad\xff.png", r"bad\udcff.png"),
        ("\ud800", r"\ud800", r"\ud800", r"\ud800"),
        ("a\u2028b", r"a\u2028b", r"a\u2028b", r"a\u2028b"),
    ],
)
def test_names_are_shown_escaped(text: str, one: str, many: str, as_json: str) -> None:
    assert (one_line(text), printable(text), json_printable(text)) == (one, many, as_json)
    assert one_line(text).encode() == one_line(text).encode(errors="strict")


def test_what_a_name_and_what_unicode_is() -> None:
    assert is_name("a\udcff")
    assert not is_name("a\ud800")
    assert not is_name("a\0")
    assert is_unicode("a😀")
    assert not is_unicode("a\udcff")
