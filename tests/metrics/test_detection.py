"""Detection of images against counts by hand, a flood fill and a count of pairs."""

from __future__ import annotations

import numpy as np
import pytest

from samtune.metrics import SegmentationScores
from samtune.metrics.detection import auroc, detect, detection_notes, mean_detection, num_areas, summarise
from samtune.types import IGNORE


def pairs_in_order(positive: np.ndarray, negative: np.ndarray) -> float:
    """Count every pair, a tie as half."""
    points = [1.0 if high > low else 0.5 if high == low else 0.0 for high in positive for low in negative]
    return sum(points) / len(points)


def flooded(labels: np.ndarray) -> int:
    """Count areas by walking from pixel to pixel."""
    left = {(int(y), int(x)) for y, x in np.argwhere(labels > 0)}
    num = 0
    while left:
        num += 1
        edge = [left.pop()]
        while edge:
            y, x = edge.pop()
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            joined = {each for each in near if labels[each] == labels[y, x]}
            left -= joined
            edge += joined
    return num


@pytest.mark.parametrize("seed", range(8))
def test_auroc_is_the_share_of_pairs_in_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    positive = rng.integers(0, 6 + 20 * (seed % 2), size=rng.integers(1, 30)) / 10  # few values: many ties
    negative = rng.integers(0, 5, size=rng.integers(1, 30)) / 10
    assert auroc(positive, negative) == pytest.approx(pairs_in_order(positive, negative))


def test_auroc_needs_both_kinds() -> None:
    some, none = np.array([0.5]), np.zeros(0)
    assert auroc(some, none) is None
    assert auroc(none, some) is None
    assert auroc(some, some) == 0.5


@pytest.mark.parametrize("seed", range(4))
def test_areas_are_counted_by_class_over_corners(seed: int) -> None:
    labels = np.random.default_rng(seed).choice([0, 0, 0, 1, 2], size=(15, 11)).astype(np.uint8)
    assert num_areas(labels) == flooded(labels)


def test_ignored_pixels_are_neither_object_nor_alarm() -> None:
    target, predicted = np.zeros((4, 4), np.uint8), np.zeros((4, 4), np.uint8)
    target[:2] = IGNORE
    predicted[0] = predicted[3, 0] = 1
    found = detect(predicted, target)
    assert (found.positive, found.false_alarms) == (False, 1)
    assert found.predicted_share == pytest.approx(1 / 8)
    everything = detect(predicted, np.full((4, 4), IGNORE, np.uint8))
    assert (everything.positive, everything.predicted_share, everything.false_alarms) == (False, 0.0, 0)


def test_an_image_with_objects_has_no_false_alarms_and_is_detected_by_any_pixel() -> None:
    target, predicted = np.zeros((4, 4), np.uint8), np.zeros((4, 4), np.uint8)
    target[0], predicted[3, 3] = 2, 1
    found = detect(predicted, target)
    assert (found.positive, found.false_alarms) == (True, None)
    assert found.predicted_share == pytest.approx(1 / 16)


def scored(kinds: str) -> SegmentationScores:
    """Images with the result that a letter stands for: hit, miss, quiet, two alarms."""
    full, empty, two = np.zeros((6, 6), np.uint8), np.zeros((6, 6), np.uint8), np.zeros((6, 6), np.uint8)
    full[:3], two[0, 0], two[4, 4] = 1, 1, 1
    maps = {"h": (full, full), "m": (empty, full), "q": (empty, empty), "a": (two, empty)}
    scores = SegmentationScores(("cell",))
    for index, kind in enumerate(kinds):
        scores.add(str(index), *maps[kind])
    return scores


def test_a_set_is_counted_as_by_hand() -> None:
    found = scored("hhhmqqqqaa").result().detection
    assert found is not None
    assert (found.num_with_objects, found.num_empty) == (4, 6)
    assert (found.sensitivity, found.specificity) == (3 / 4, 4 / 6)
    assert found.false_alarms_per_empty_image == pytest.approx(4 / 6)
    assert found.auroc == pytest.approx((3 * 6 + 4 * 0.5) / 24)


def test_what_no_image_defines_is_none() -> None:
    assert scored("hm").result().detection is None
    assert SegmentationScores(("cell",)).result().detection is None
    assert summarise([]) is None
    alone = scored("qqa").result().detection
    assert alone is not None
    assert (alone.sensitivity, alone.auroc) == (None, None)
    assert alone.specificity == pytest.approx(2 / 3)
    assert scored("hm").result().to_dict().keys() == scored("q").result().to_dict().keys() - {"detection"}


def test_the_mean_over_draws_leaves_out_what_is_not_measured() -> None:
    assert mean_detection([None, None]) is None
    assert mean_detection([{"auroc": 0.5, "sensitivity": None}, None, {"auroc": 1.0, "sensitivity": None}]) == {
        "auroc": 0.75, "sensitivity": None,
    }  # fmt: skip


def test_a_set_without_any_object_is_told() -> None:
    (note,) = detection_notes(0, 5)
    assert "sensitivity and AUROC are not defined" in note
    assert detection_notes(1, 5) == detection_notes(0, 0) == []
