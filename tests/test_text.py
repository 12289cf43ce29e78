"""Numbers written for people."""

from __future__ import annotations

import math

import pytest

from samtune.text import count, decimals, duration, listing, plain, signed, size


@pytest.mark.parametrize(
    ("time_s", "words"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.6, "1 min 0 s"),
        (125, "2 min 5 s"),
        (3599.9, "1 h 0 min"),
        (12_000, "3 h 20 min"),
    ],
)
def test_durations(time_s: float, words: str) -> None:
    assert duration(time_s) == words


def test_numbers_are_written_for_people() -> None:
    assert decimals(0.81239) == "0.812"
    assert decimals(None) == decimals(math.nan) == "–"
    assert [plain(value) for value in (2048, 0.00012346, "x", True, None)] == [
        "2,048",
        "0.0001235",
        "x",
        "yes",
        "–",
    ]


def test_differences_have_their_sign() -> None:
    assert [signed(value) for value in (0.0321, -0.0321, 0.0001, -0.0001, None, math.inf)] == [
        "+0.032", "−0.032", "0.000", "0.000", "–", "–",
    ]  # fmt: skip


def test_sizes_counts_and_lists() -> None:
    assert [size(value) for value in (512_000_000, 3_400_000_000, None)] == ["512 MB", "3.4 GB", "–"]
    assert [count(num, "image") for num in (0, 1, 2000)] == ["0 images", "1 image", "2,000 images"]
    assert [listing(words) for words in (["a"], ["a", "b"], ["a", "b", "c"])] == ["a", "a and b", "a, b and c"]
