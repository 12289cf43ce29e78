"""Balanced error, classes, outlines, distances and means against loops written from their definitions."""

from __future__ import annotations

import math
import statistics
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from samtune.errors import ShapeError
from samtune.metrics.contour import boundary_f_measure, default_tolerance, hausdorff95, outline
from samtune.metrics.distance import distance_to, nearest
from samtune.metrics.measures import BalancedErrorScores, Case, ClassScores, ContourScores
from samtune.metrics.summary import Mean
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


def naive_outline(mask: list[list[bool]]) -> list[tuple[int, int]]:
    def there(i: int, j: int) -> bool:
        return 0 <= i < len(mask) and 0 <= j < len(mask[0]) and mask[i][j]

    return [
        (i, j)
        for i in range(len(mask))
        for j in range(len(mask[0]))
        if mask[i][j] and not all(there(i + a, j + b) for a, b in ((0, 1), (1, 0), (0, -1), (-1, 0)))
    ]


def naive_gaps(a: list[tuple[int, int]], b: list[tuple[int, int]], spacing: tuple[float, float]) -> list[float]:
    """From each place of `a` to the nearest of `b`."""
    return [min(math.hypot((i - k) * spacing[0], (j - m) * spacing[1]) for k, m in b) for i, j in a]


def naive_percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.5, 0.5), (2.0, 0.7)])
def test_outlines_follow_their_definitions(spacing: tuple[float, float]) -> None:
    for case in CASES:
        ours, theirs = case.predicted == 1, case.target == 1
        a, b = naive_outline(ours.tolist()), naive_outline(theirs.tolist())
        assert [(int(i), int(j)) for i, j in np.argwhere(outline(ours))] == a
        found_f, found_hd = boundary_f_measure(ours, theirs, 1.5, spacing), hausdorff95(ours, theirs, spacing)
        if not a or not b:
            assert found_f == float(a == b)
            assert found_hd == (0.0 if a == b else None)
            continue
        there, back = naive_gaps(a, b, spacing), naive_gaps(b, a, spacing)
        precision = sum(gap <= 1.5 for gap in there) / len(there)
        recall = sum(gap <= 1.5 for gap in back) / len(back)
        expected = 2 * precision * recall / (precision + recall) if precision + recall else 0
        assert found_f == pytest.approx(expected)
        assert found_hd == pytest.approx(max(naive_percentile(there, 0.95), naive_percentile(back, 0.95)))


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


def test_the_tolerance_is_a_share_of_the_diagonal_rounded_up() -> None:
    assert default_tolerance((480, 640)) == 7
    assert default_tolerance((10, 10)) == 1


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (3.0, 0.4)])
def test_nearest_takes_the_leftmost_then_topmost_of_the_nearest(spacing: tuple[float, float]) -> None:
    for seed in range(100):
        rng = np.random.default_rng(seed)
        mask = rng.random((int(rng.integers(1, 13)), int(rng.integers(1, 13)))) < rng.uniform(0.02, 0.5)
        mask[tuple(rng.integers(0, n) for n in mask.shape)] = True
        places = [(int(i), int(j)) for j, i in np.argwhere(mask.T)]
        rows, cols = nearest(mask, spacing)
        gaps = distance_to(mask, spacing)
        for i, j in np.ndindex(mask.shape):
            apart = [((k - i) * spacing[0]) ** 2 + ((m - j) * spacing[1]) ** 2 for k, m in places]
            assert gaps[i, j] == pytest.approx(math.sqrt(min(apart)))
            if spacing == (1.0, 1.0):
                assert (int(rows[i, j]), int(cols[i, j])) == places[apart.index(min(apart))]
    for function in (nearest, distance_to):
        with pytest.raises(ShapeError, match="empty"):
            function(np.zeros((3, 3), bool))


def test_a_mean_is_exact_in_any_order_and_grouping() -> None:
    values = [0.1, 1e16, 0.3, -1e16, 0.7, 1 / 3] * 20
    one, parts = Mean(), [Mean(), Mean(), Mean()]
    for index, value in enumerate(values):
        one.add(value)
        parts[index % 3].add(values[-1 - index])
    joined = parts[0] + parts[1] + parts[2]
    exact = sum(map(Fraction, values)) / len(values)
    assert one.mean == joined.mean == float(exact)
    assert one.std == joined.std == pytest.approx(statistics.pstdev(values))
    same = Mean()
    for _ in range(7):
        same.add(0.3)
    assert same.std == 0
    same.add(None)
    assert (same.num, same.num_undefined, same.mean) == (7, 1, 0.3)
    assert (Mean().mean, Mean().std) == (None, None)
    for wrong in (math.nan, math.inf):
        with pytest.raises(ValueError, match="finite"):
            same.add(wrong)


def davis_outline(mask: Mask) -> Mask:
    """DAVIS's `seg2bmap`: a pixel whose right, lower or lower right neighbour in the image is on the other side."""
    high, wide = mask.shape
    found = np.zeros_like(mask)
    for row in range(high):
        for col in range(wide):
            for down, right in ((0, 1), (1, 0), (1, 1)):
                if row + down < high and col + right < wide:
                    found[row, col] |= mask[row + down, col + right] != mask[row, col]
    return found


def davis_f(predicted: Mask, target: Mask) -> float:
    """Shares of outline pixels with one of the other's within the tolerance, without distance transforms."""
    reach = math.ceil(0.008 * math.hypot(*target.shape))
    places = [np.argwhere(davis_outline(mask)) for mask in (predicted, target)]
    if not len(places[0]) or not len(places[1]):
        return float(len(places[0]) == len(places[1]))
    apart = np.linalg.norm(places[0][:, None] - places[1][None], axis=2)
    precision, recall = (float((apart.min(axis) <= reach).mean()) for axis in (1, 0))
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def rectangle(rows: slice, columns: slice) -> Mask:
    mask = np.zeros((60, 80), bool)
    mask[rows, columns] = True
    return mask


def test_boundary_f_counts_the_edges_of_the_image_which_daviss_does_not() -> None:
    """As docs/metrics.md says: near DAVIS's inside the image, higher where objects touch its edge."""
    inside, shifted = rectangle(slice(20, 40), slice(20, 50)), rectangle(slice(20, 40), slice(23, 53))
    assert boundary_f_measure(shifted, inside) == pytest.approx(davis_f(shifted, inside), abs=0.05)
    whole = rectangle(slice(None), slice(None))
    assert outline(whole)[0].all()
    assert not davis_outline(whole).any()
    left, wider = rectangle(slice(None), slice(0, 40)), rectangle(slice(None), slice(0, 50))
    assert davis_f(wider, left) == 0, "the one border inside the image is 10 pixels off"
    assert boundary_f_measure(wider, left) > 0.6, "the three edges of the image agree"
