"""Options of data: a value of the right type and range, or a ConfigError that names the field."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from samtune.data import DataOptions
from samtune.errors import ConfigError

BAD: dict[str, list[Any]] = {
    "num_classes": [0, -1, 255, 1.0, 2.5, True, "2", [2], math.nan, 10**5000],
    "class_names": [
        (), "liver", ("a", "a"), ("a", 1), ("",), (" ",), 5, {"a"}, {"a": 1}, tuple(map(str, range(255))),
    ],
    "colours": [
        {}, [], "red", {"a": 5}, {"a": "red"}, {"a": (1, 2)}, {"a": (1, 2, 300)}, {"a": (1, 2, 3), "b": (1, 2, 3)},
        {1: (1, 2, 3)}, {"a": (1.5, 2, 3)}, {"a": None}, {"background": (0, 0, 0)}, {"a": (True, 0, 0)},
    ],
    "ignore_label": [1.5, "255", True, math.inf, 2**53, -(2**60), 10**5000, (1,)],
    "ids": [
        5, (), "12", (1, 1), (-1,), (2**53,), (1.0,), (True,), ("1",), {1, 2}, (math.nan,), tuple(range(255)),
    ],
    "instances": ["no", "false", 0, 1, "True", [], 0.0],
    "background": [0, (), (1.5,), ("0",), (0, 0), (math.nan, math.nan), (True,), "0"],
    "threshold": [math.nan, math.inf, "127", True, (1,), 10**400],
    "colour_tolerance": [-1, 256, 1.5, "16", True],
}  # fmt: skip
WRONG = [(field, value) for field, values in BAD.items() for value in values]


@pytest.mark.parametrize(("field", "value"), WRONG, ids=[f"{field}-{i}" for i, (field, _) in enumerate(WRONG)])
def test_a_value_of_the_wrong_type_or_range_is_refused(field: str, value: Any) -> None:
    fields: dict[str, Any] = {field: value}
    if field == "colour_tolerance":
        fields["colours"] = {"a": (1, 2, 3)}
    with pytest.raises(ConfigError) as caught:
        DataOptions(**fields)
    assert f"`{field}" in str(caught.value)
    assert len(str(caught.value)) < 300


CONTRADICTIONS: list[dict[str, Any]] = [
    {"num_classes": 2, "class_names": ("a",)},
    {"num_classes": 3, "ids": (1, 2)},
    {"class_names": ("a",), "colours": {"b": (1, 2, 3)}},
    {"num_classes": 2, "instances": True},
    {"ids": (1, 2), "background": (0, 2)},
    {"ids": (1, 2), "ignore_label": 2},
    {"background": (0, math.nan), "ignore_label": math.nan},
    {"threshold": 127, "ids": (1,)},
    {"threshold": 127, "background": (0,)},
    {"threshold": 127, "num_classes": 2},
    {"threshold": 127, "instances": True},
    {"threshold": 127, "colours": {"a": (1, 2, 3)}},
    {"background": (0,), "colours": {"a": (1, 2, 3)}},
    {"colour_tolerance": 3},
]


@pytest.mark.parametrize("fields", CONTRADICTIONS, ids=str)
def test_contradictions_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        DataOptions(**fields)


def test_lists_and_numpy_numbers_become_plain_values() -> None:
    options = DataOptions(
        class_names=["a", "b"],  # type: ignore[arg-type]
        ids=[np.int64(3), np.uint8(7)],  # type: ignore[arg-type]
        ignore_label=np.float32("nan"),  # type: ignore[arg-type]
        background=[0, np.int16(-1)],  # type: ignore[arg-type]
    )
    assert options.ids is not None
    assert [(value, type(value)) for value in options.ids] == [(3, int), (7, int)]
    assert options.class_names == ("a", "b")
    assert options.background == (0, -1)
    assert options == DataOptions(class_names=("a", "b"), ids=(3, 7), ignore_label=math.nan, background=(0, -1))
    assert DataOptions(colours={"a": [1, 2, 3]}).colours == {"a": (1, 2, 3)}  # type: ignore[dict-item]


def test_options_that_contradict_each_other_are_refused() -> None:
    for wrong in (
        {"num_classes": 0},
        {"num_classes": 2, "class_names": ("a",)},
        {"colours": {"a": (0, 0, 300)}},
        {"ids": (1, 2), "num_classes": 3},
        {"instances": True, "num_classes": 2},
        {"class_names": ("a", "a")},
    ):
        with pytest.raises(ConfigError):
            DataOptions(**wrong)


def test_another_word_for_drawn_on_is_refused() -> None:
    with pytest.raises(ConfigError, match="Expected shown or stored for `drawn_on`, got 'turned'"):
        DataOptions(drawn_on="turned")
