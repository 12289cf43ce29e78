"""Settings and classes that an evaluation refuses, and notes on undefined values."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from samtune.errors import ConfigError, DataError
from samtune.metrics import PROTOCOLS
from samtune.predict.checks import check_scale, compare_classes, undefined_notes


@pytest.mark.parametrize(
    ("protocol", "at", "spacing", "words"),
    [
        ("default", 15, None, "from 16 to 8192 pixels, got 15"),
        ("default", 8193, None, "from 16 to 8192 pixels, got 8193"),
        ("microscopy", None, 0.0, "spacing > 0, the side of a pixel, got 0.0"),
        ("microscopy", None, float("inf"), "spacing > 0"),
        ("microscopy", None, float("nan"), "spacing > 0"),
        ("default", None, 0.5, "got default; leave --spacing out"),
        ("microscopy", 64, 0.5, "got microscopy with --at 64"),
    ],
)
def test_a_scale_out_of_range_or_without_effect_is_refused(
    protocol: str, at: int | None, spacing: float | None, words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        check_scale(PROTOCOLS[protocol], at, spacing)


def test_a_scale_with_effect_is_taken() -> None:
    check_scale(PROTOCOLS["default"], None, None)
    check_scale(PROTOCOLS["default"], 16, None)
    check_scale(PROTOCOLS["microscopy"], None, 0.25)


def test_classes_are_compared_by_number_and_names() -> None:
    def named(*names: str) -> Any:
        return SimpleNamespace(class_names=names)

    assert compare_classes(named("a", "b"), named("a", "b"), "run") == []
    assert "a = c, b = d" in compare_classes(named("a", "b"), named("c", "d"), "run")[0]
    with pytest.raises(DataError, match=r"the 2 classes of run \(a, b\), got 1 \(a\)"):
        compare_classes(named("a", "b"), named("a"), "run")


def test_undefined_values_are_noted() -> None:
    assert undefined_notes({"mae": 0.5, "ber_num_undefined": 0.0}) == []
    assert undefined_notes({"ber_num_undefined": 3.0}) == [
        "3 images lack shadow or other pixels and are left out of the mean BER per image (specialist)."
    ]
