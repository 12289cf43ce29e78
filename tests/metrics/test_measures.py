"""Balanced error, classes, outlines, distances and means against loops written from their definitions."""

from __future__ import annotations

import statistics

import numpy as np
import pytest
from numpy.typing import NDArray

from samtune.metrics.contour import boundary_f_measure
from samtune.metrics.measures import BalancedErrorScores, Case, ClassScores, ContourScores
from samtune.types import IGNORE
from tests.metrics.cases import CASES, with_ignored

Mask = NDArray[np.bool_]
HIDDEN = [with_ignored(case, seed) for seed, case in enumerate(CASES)]


def pixels(case: Case) -> list[tuple[int, int]]:
    """(predicted, target) of every pixel that counts."""
    both = zip(case.predicted.reshape(-1).tolist(), case.target.reshape(-1).tolist(), strict=True)
    return [(p, t) for p, t in both if t != IGNORE]


def binary_cases() -> list[Case]:
    return [Case(str(i), case.predicted, case.target) for i, case in enumerate([*CASES, *HIDDEN])]


def class_cases(num_classes: int) -> list[Case]:
    """Random label maps, many without some class, and constant ones; some pixels, some whole images ignored."""
    rng = np.random.default_rng(0)
    cases = []
    for index in range(200):
        there = np.flatnonzero(np.append(True, rng.random(num_classes) < 0.6))
        target = rng.choice(there, size=(9, 8)).astype(np.uint8)
        predicted = np.where(rng.random((9, 8)) < 0.7, target, 0).astype(np.uint8)
        target[rng.random((9, 8)) < (0.1 if index % 40 else 1.1)] = IGNORE
        cases.append(Case(str(index), predicted, target))
    for p in range(num_classes + 1):
        for t in [*range(num_classes + 1), IGNORE]:
            for size_hw in ((1, 1), (3, 4)):
                cases.append(Case(f"{p}{t}{size_hw}", np.full(size_hw, p, np.uint8), np.full(size_hw, t, np.uint8)))
    return cases


def naive_errors(counted: list[tuple[int, int]]) -> tuple[float | None, float | None, float | None]:
    shadow = [p for p, t in counted if t == 1]
    rest = [p for p, t in counted if t == 0]
    missed = 100 * shadow.count(0) / len(shadow) if shadow else None
    false = 100 * rest.count(1) / len(rest) if rest else None
    return (None if missed is None or false is None else (missed + false) / 2), missed, false


def test_balanced_error_follows_its_definition() -> None:
    scores = BalancedErrorScores()
    everything: list[tuple[int, int]] = []
    bers = []
    for case in binary_cases():
        ber, missed, false = naive_errors(pixels(case))
        row = scores.add(case)
        assert row == {
            "ber_percent": pytest.approx(ber),
            "shadow_error_percent": pytest.approx(missed),
            "non_shadow_error_percent": pytest.approx(false),
        }
        everything += pixels(case)
        bers.append(ber)
    known = [ber for ber in bers if ber is not None]
    result = scores.result()
    assert result["ber_percent_per_image"] == pytest.approx(statistics.fmean(known))
    assert result["ber_percent_per_image_std"] == pytest.approx(statistics.pstdev(known))
    assert result["ber_num_undefined"] == len(bers) - len(known) > 20
    ber, missed, false = naive_errors(everything)
    assert result["ber_percent_pooled"] == pytest.approx(ber)
    assert result["shadow_error_percent_pooled"] == pytest.approx(missed)
    assert result["non_shadow_error_percent_pooled"] == pytest.approx(false)


def test_balanced_error_without_shadow_is_none_and_counted() -> None:
    scores = BalancedErrorScores()
    assert scores.result()["ber_percent_per_image"] is None
    empty = np.zeros((3, 3), np.uint8)
    assert scores.add(Case("a", empty, empty)) == {
        "ber_percent": None, "shadow_error_percent": None, "non_shadow_error_percent": 0.0,
    }  # fmt: skip
    result = scores.result()
    assert (result["ber_percent_per_image"], result["ber_percent_pooled"], result["ber_num_undefined"]) == (
        None,
        None,
        1,
    )
    assert result["non_shadow_error_percent_per_image"] == 0


def naive_iou(counted: list[tuple[int, int]], label: int) -> float | None:
    both = sum(p == label and t == label for p, t in counted)
    either = sum(label in (p, t) for p, t in counted)
    return both / either if either else None


def naive_mean(values: list[float | None]) -> float:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else 1.0


@pytest.mark.parametrize("names", [("a",), ("a", "b", "c")])
def test_class_scores_follow_their_definitions(names: tuple[str, ...]) -> None:
    scores = ClassScores(names)
    everything: list[tuple[int, int]] = []
    cases = class_cases(len(names))
    accuracies = []
    for case in cases:
        counted = pixels(case)
        everything += counted
        ious = [naive_iou(counted, label) for label in range(len(names) + 1)]
        accuracy = sum(p == t for p, t in counted) / len(counted) if counted else 1.0
        accuracies.append(accuracy)
        assert scores.add(case) == {
            "pixel_accuracy": pytest.approx(accuracy),
            "miou_with_background": pytest.approx(naive_mean(ious)),
            "miou_without_background": pytest.approx(naive_mean(ious[1:])),
        }
    ious = [naive_iou(everything, label) for label in range(len(names) + 1)]
    result = scores.result()
    assert result["miou_with_background_pooled"] == pytest.approx(naive_mean(ious))
    assert result["miou_without_background_pooled"] == pytest.approx(naive_mean(ious[1:]))
    assert result["pixel_accuracy_pooled"] == pytest.approx(sum(p == t for p, t in everything) / len(everything))
    assert result["pixel_accuracy_per_image"] == pytest.approx(statistics.fmean(accuracies))
    assert result["num_classes_present"] == len(names)
    for name, iou in zip(("background", *names), ious, strict=True):
        assert result[f"iou_pooled_{name}"] == pytest.approx(iou)


def test_a_class_that_never_occurs_is_none_and_enters_no_mean() -> None:
    scores = ClassScores(("a", "b"))
    target = np.array([[1, 0]], np.uint8)
    scores.add(Case("x", target, target))
    result = scores.result()
    assert (result["iou_pooled_b"], result["num_classes_present"]) == (None, 1)
    assert result["miou_without_background_pooled"] == 1


def test_contour_scores_average_classes_and_count_what_has_no_distance() -> None:
    scores = ContourScores(2)
    empty = np.zeros((8, 8), np.uint8)
    target = empty.copy()
    target[2:5, 2:5] = 1
    shifted = np.roll(target, 2, axis=1)
    assert scores.add(Case("nothing", empty, empty)) == {"boundary_f": 1.0, "hd95": 0.0}
    assert scores.add(Case("missed", empty, target)) == {"boundary_f": 0.0, "hd95": None}
    first = scores.add(Case("shifted", shifted, target))
    assert first == {"boundary_f": pytest.approx(boundary_f_measure(shifted == 1, target == 1)), "hd95": 2.0}
    other = shifted.copy()
    other[7, 7] = 2
    assert scores.add(Case("other", other, target)) == {
        "boundary_f": pytest.approx(boundary_f_measure(shifted == 1, target == 1) / 2),
        "hd95": None,
    }
    result = scores.result()
    assert (result["hd95_num_undefined"], result["hd95_per_image"]) == (2, 1.0)
    assert result["hd95_per_image_std"] == 1.0
    ignored = np.where(target == 1, IGNORE, 0).astype(np.uint8)
    assert ContourScores(1).add(Case("ignored", target, ignored)) == {"boundary_f": 1.0, "hd95": 0.0}
