"""Sizes, durations, counts and lists as text."""

from __future__ import annotations

import math

import pytest

from samtune.text import count, decimals, did_you_mean, duration, listing, plain, signed, size


@pytest.mark.parametrize(
    ("num_bytes", "text"),
    [
        (0, "0 bytes"), (1, "1 byte"), (999, "999 bytes"), (999.6, "1.0 kB"), (1000, "1.0 kB"), (8192, "8.2 kB"),
        (9949, "9.9 kB"), (9950, "10 kB"), (45_000, "45 kB"), (999_499, "999 kB"), (999_500, "1.0 MB"),
        (512_000_000, "512 MB"), (999_600_000, "1.0 GB"), (3_400_000_000, "3.4 GB"), (80e9, "80.0 GB"),
        (2.5e12, "2.5 TB"), (4e15, "4,000.0 TB"), (None, "–"),
    ],
)  # fmt: skip
def test_sizes(num_bytes: float | None, text: str) -> None:
    assert size(num_bytes) == text


@pytest.mark.parametrize(
    ("time_s", "text"),
    [
        (0.04, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.6, "1 min 0 s"), (125, "2 min 5 s"),
        (3599.9, "1 h 0 min"), (12_000, "3 h 20 min"),
    ],
)  # fmt: skip
def test_durations(time_s: float, text: str) -> None:
    assert duration(time_s) == text


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


def test_counts_agree_with_their_noun() -> None:
    assert [count(num, "image") for num in (0, 1, 2, 1200)] == ["0 images", "1 image", "2 images", "1,200 images"]
    assert [count(num, "class", "classes") for num in (1, 3)] == ["1 class", "3 classes"]


def test_lists_end_with_a_conjunction() -> None:
    assert [listing(words) for words in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == ["", "a", "a and b", "a, b and c"]
    assert listing(["a", "b"], "or") == "a or b"


def test_the_nearest_name_is_suggested() -> None:
    assert did_you_mean("rnk", ("rank", "alpha")) == " (did you mean 'rank'?)"
    assert did_you_mean("zzzz", {"rank": 1}) == ""
    assert did_you_mean("rank" * 100, ("rank",)) == ""
