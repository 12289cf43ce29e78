"""Protocols: what they promise is what comes, and memory does not grow with the images."""

from __future__ import annotations

import math
import tracemalloc
from typing import get_type_hints

import numpy as np
import pytest

from samtune.cli.evaluate_verb import evaluate
from samtune.errors import ConfigError, DataError
from samtune.metrics import EXPLAINED, PROTOCOLS, Case, ProtocolScores, find_protocol
from tests.metrics.cases import CASES, random_case


def case_of(index: int) -> Case:
    small = CASES[index]
    return Case(str(index), small.predicted, small.target, small.foreground)


def test_the_help_of_the_command_line_names_them_all() -> None:
    offered = get_type_hints(evaluate, include_extras=True)["protocol"].__metadata__[0].help
    assert all(name in offered for name in PROTOCOLS)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_headline_comes_and_is_explained(name: str) -> None:
    protocol = PROTOCOLS[name]
    scores = ProtocolScores(protocol, ("thing",))
    for index in (*range(20), *range(len(CASES) - 48, len(CASES), 7)):
        scores.add(case_of(index))
    overlap, more = scores.result()
    for key in protocol.headline:
        value = getattr(overlap, key, None) if hasattr(overlap, key) else more[key]
        assert value is not None
        assert math.isfinite(value)
        assert EXPLAINED[key]
    assert all(protocol.judge in row for row in scores.values.values())
    for row in (*scores.values.values(), more):
        assert all(value is None or math.isfinite(value) for value in row.values())


@pytest.mark.parametrize("name", PROTOCOLS)
def test_no_image_gives_no_value_but_counts(name: str) -> None:
    _, more = ProtocolScores(PROTOCOLS[name], ("thing",)).result()
    known = {key: value for key, value in more.items() if value is not None}
    empty = {key for key in known if "iou" in key or "accuracy" in key}  # nothing there, nothing claimed
    assert all(known[key] == 1 for key in empty)
    assert all(known[key] == 0 for key in set(known) - empty)


def test_several_classes() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, (8, 8)).astype(np.uint8)
    scores = ProtocolScores(find_protocol("trans10k"), ("a", "b"))
    scores.add(Case("x", labels, labels))
    assert scores.result()[1]["miou_without_background_pooled"] == 1
    assert scores.values["x"]["iou_a"] == 1
    for name in ("cod", "sod", "shadow", "polyp", "microscopy"):
        with pytest.raises(ConfigError, match="one class"):
            ProtocolScores(find_protocol(name), ("a", "b"))


def test_an_unknown_protocol_and_an_image_that_comes_twice() -> None:
    with pytest.raises(ConfigError, match="did you mean 'polyp'"):
        find_protocol("polyps")
    scores = ProtocolScores(find_protocol("default"), ("a",))
    scores.add(case_of(0))
    with pytest.raises(DataError, match="twice"):
        scores.add(case_of(0))


@pytest.mark.parametrize("name", ["cod", "microscopy"])
def test_memory_does_not_grow_with_the_images(name: str) -> None:
    side = 128
    target = np.tile(random_case(3).target[:16, :16], (side // 16, side // 16))
    foreground = np.where(target, 0.9, 0.1)
    scores = ProtocolScores(PROTOCOLS[name], ("thing",))

    def feed(start: int, stop: int) -> int:
        tracemalloc.reset_peak()
        for index in range(start, stop):
            scores.add(Case(str(index), target, target, foreground))
        return tracemalloc.get_traced_memory()[1]

    tracemalloc.start()
    try:
        few, many = feed(0, 5), feed(5, 45)
    finally:
        tracemalloc.stop()
    # An image may keep its few scalars and the flags of its objects, less than a quarter of its label map.
    assert many - few < 40 * side * side / 4
