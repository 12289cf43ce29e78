"""Measures of foreground maps against loops over pixels, against recorded values of PySODMetrics, and against it."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from samtune.errors import ShapeError
from samtune.metrics import saliency
from samtune.metrics.measures import Case, SaliencyScores
from samtune.types import IGNORE
from tests.metrics.cases import CASES, NUM_RANDOM, Small, with_ignored

RECORDED = Path(__file__).with_name("pysodmetrics.json")
EPS = 2.0**-52


def grids(case: Small) -> tuple[list[list[float]], list[list[int]]]:
    return saliency.stretch(case.foreground).tolist(), case.target.tolist()


def naive_alignment(called: list[list[bool]], target: list[list[int]]) -> float:
    pixels = [
        (float(c), float(t)) for row, mask in zip(called, target, strict=True) for c, t in zip(row, mask, strict=True)
    ]
    num = len(pixels)
    mean_c, mean_t = math.fsum(c for c, _ in pixels) / num, math.fsum(t for _, t in pixels) / num
    total = 0.0
    for c, t in pixels:
        if mean_t == 0:
            total += 1 - c
        elif mean_t == 1:
            total += c
        else:
            a, b = c - mean_c, t - mean_t
            total += ((2 * a * b / (a * a + b * b + EPS)) + 1) ** 2 / 4
    return total / max(num - 1, 1)


def naive_f(called: list[list[bool]], target: list[list[int]], beta_squared: float) -> float:
    hit = sum(c and t for row, mask in zip(called, target, strict=True) for c, t in zip(row, mask, strict=True))
    if not hit:
        return 0.0
    precision, recall = hit / sum(map(sum, called)), hit / sum(map(sum, target))
    return (1 + beta_squared) * precision * recall / (beta_squared * precision + recall)


def at_least(foreground: list[list[float]], threshold: float, *, levels: bool) -> list[list[bool]]:
    return [[(math.floor(v * 255) if levels else v) >= threshold for v in row] for row in foreground]


def naive_similarity(a: list[float], b: list[float]) -> float:
    num = len(a)
    mean_a, mean_b = sum(a) / num, sum(b) / num
    if num == 1:
        var_a = var_b = both = 0.0
    else:
        var_a = sum((x - mean_a) ** 2 for x in a) / (num - 1)
        var_b = sum((x - mean_b) ** 2 for x in b) / (num - 1)
        both = sum((x - mean_a) * (y - mean_b) for x, y in zip(a, b, strict=True)) / (num - 1)
    above, below = 4 * mean_a * mean_b * both, (mean_a**2 + mean_b**2) * (var_a + var_b)
    if above:
        return above / below
    return float(below == 0)


def naive_s_measure(foreground: list[list[float]], target: list[list[int]]) -> float:
    flat = [(v, t) for row, mask in zip(foreground, target, strict=True) for v, t in zip(row, mask, strict=True)]
    share = sum(t for _, t in flat) / len(flat)
    if share in (0, 1):
        mean = sum(v for v, _ in flat) / len(flat)
        return mean if share else 1 - mean

    def of_object(values: list[float]) -> float:
        mean = statistics.fmean(values)
        return 2 * mean / (mean**2 + 1 + (statistics.stdev(values) if len(values) > 1 else 0.0))

    objects = share * of_object([v for v, t in flat if t]) + (1 - share) * of_object([1 - v for v, t in flat if not t])
    places = [(i, j) for i, mask in enumerate(target) for j, t in enumerate(mask) if t]
    row = round(sum(i for i, _ in places) / len(places)) + 1
    col = round(sum(j for _, j in places) / len(places)) + 1
    regions = 0.0
    for below in (False, True):
        for right in (False, True):
            part = [
                (v, t)
                for i, (line, mask) in enumerate(zip(foreground, target, strict=True))
                for j, (v, t) in enumerate(zip(line, mask, strict=True))
                if (i >= row) == below and (j >= col) == right
            ]
            if part:
                regions += len(part) / len(flat) * naive_similarity([v for v, _ in part], [float(t) for _, t in part])
    return max(0.0, 0.5 * objects + 0.5 * regions)


def naive_weighted(foreground: list[list[float]], target: list[list[int]]) -> tuple[float, float]:
    high, wide = len(target), len(target[0])
    # Column by column, so that among equally near pixels the leftmost comes first, then the topmost.
    places = [(i, j) for j in range(wide) for i in range(high) if target[i][j]]
    if not places:
        return 0.0, 0.0
    error = [[abs(foreground[i][j] - target[i][j]) for j in range(wide)] for i in range(high)]
    near = [[min(places, key=lambda p: (p[0] - i) ** 2 + (p[1] - j) ** 2) for j in range(wide)] for i in range(high)]
    spread = [[error[near[i][j][0]][near[i][j][1]] for j in range(wide)] for i in range(high)]
    kernel = {(a, b): math.exp(-(a * a + b * b) / 50) for a in range(-3, 4) for b in range(-3, 4)}
    whole = sum(kernel.values())
    inside, outside = [], []
    for i in range(high):
        for j in range(wide):
            if target[i][j]:
                smooth = sum(
                    weight / whole * spread[i + a][j + b]
                    for (a, b), weight in kernel.items()
                    if 0 <= i + a < high and 0 <= j + b < wide
                )
                inside.append(min(smooth, error[i][j]))
            else:
                away = math.dist(near[i][j], (i, j))
                outside.append(error[i][j] * (2 - math.exp(math.log(0.5) / 5 * away)))
    hit = len(inside) - math.fsum(inside)
    return hit / (hit + math.fsum(outside) + EPS), 1 - math.fsum(inside) / len(inside)


def values_of(case: Small) -> dict[str, Any]:
    foreground, target = saliency.stretch(case.foreground), case.target == 1
    precision, recall = saliency.weighted_precision_recall(foreground, target)
    return {
        "s": saliency.s_measure(foreground, target),
        "mae": saliency.mean_absolute_error(foreground, target),
        "e_adaptive": saliency.adaptive_e_measure(foreground, target),
        "f_adaptive": saliency.adaptive_f_measure(foreground, target),
        "weighted_f": saliency.weighted_f_measure(precision, recall, 1.0),
        "weighted_f_beta03": saliency.weighted_f_measure(precision, recall, 0.3),
        "e_curve": saliency.e_measure_curve(foreground, target),
        "f_curve": saliency.f_measure_curve(foreground, target),
    }


def test_there_are_enough_cases() -> None:
    assert NUM_RANDOM >= 200
    assert len(CASES) - NUM_RANDOM >= 20


def test_every_value_follows_its_formula() -> None:
    for case in CASES:
        foreground, target = grids(case)
        found = values_of(case)
        flat = [
            abs(v - t) for row, mask in zip(foreground, target, strict=True) for v, t in zip(row, mask, strict=True)
        ]
        assert found["mae"] == pytest.approx(math.fsum(flat) / len(flat))
        assert found["s"] == pytest.approx(naive_s_measure(foreground, target), abs=1e-9)
        threshold = min(2 * statistics.fmean(v for row in foreground for v in row), 1.0)
        called = (saliency.stretch(case.foreground) >= threshold).tolist()
        if abs(threshold - 1) > 1e-12 and any(abs(v - threshold) < 1e-12 for row in foreground for v in row):
            called = (saliency.stretch(case.foreground) >= 2 * saliency.stretch(case.foreground).mean()).tolist()
        assert found["e_adaptive"] == pytest.approx(naive_alignment(called, target), abs=1e-9)
        assert found["f_adaptive"] == pytest.approx(naive_f(called, target, 0.3))
        for threshold in (0, 1, 90, 200, 255):
            called = at_least(foreground, threshold, levels=True)
            assert found["e_curve"][threshold] == pytest.approx(naive_alignment(called, target), abs=1e-9)
            assert found["f_curve"][threshold] == pytest.approx(naive_f(called, target, 0.3))


def test_weighted_f_follows_its_formula() -> None:
    for case in CASES:
        foreground, target = grids(case)
        found = values_of(case)
        precision, recall = naive_weighted(foreground, target)
        for name, beta_squared in (("weighted_f", 1.0), ("weighted_f_beta03", 0.3)):
            expected = (1 + beta_squared) * precision * recall / (recall + beta_squared * precision + EPS)
            assert found[name] == pytest.approx(expected, abs=1e-9)


def reference(case: Small, sod: Any) -> dict[str, float]:
    """What PySODMetrics says of a case, its maps already in 0..1."""
    foreground, target = saliency.stretch(case.foreground), case.target == 1
    with np.errstate(all="ignore"):
        e, f, s = sod.Emeasure(), sod.Fmeasure(0.3), sod.Smeasure()
        for measure in (e, f, s):
            measure.step(foreground, target, normalize=False)
        weighted = [sod.WeightedFmeasure(beta) for beta in (1, 0.3)]
        for measure in weighted:
            measure.step(foreground, target, normalize=False)
        curves = e.get_results()["em"], f.get_results()["fm"]
    return {
        "s": float(s.get_results()["sm"]),
        "mae": float(np.abs(foreground - target).mean()),
        "e_adaptive": float(curves[0]["adp"]),
        "f_adaptive": float(curves[1]["adp"]),
        "weighted_f": float(weighted[0].get_results()["wfm"]),
        "weighted_f_beta03": float(weighted[1].get_results()["wfm"]),
        "e_max": float(curves[0]["curve"].max()),
        "e_mean": float(curves[0]["curve"].mean()),
        "f_max": float(curves[1]["curve"].max()),
        "f_mean": float(curves[1]["curve"].mean()),
    }


def agrees(case: Small, expected: Mapping[str, float | None]) -> None:
    found = values_of(case)
    for letter in "ef":
        curve: NDArray[np.float64] = found[f"{letter}_curve"]
        found |= {f"{letter}_max": curve.max(), f"{letter}_mean": curve.mean()}
    for name, value in expected.items():
        # The library divides by zero on parts without pixels (NaN) and on images of one pixel (10^15).
        if value is not None and math.isfinite(value) and case.target.size > 1:
            assert found[name] == pytest.approx(value, abs=1e-9), name


def test_values_are_those_that_pysodmetrics_gave() -> None:
    recorded = json.loads(RECORDED.read_text())
    assert recorded["version"] == "1.6.2"
    assert len(recorded["cases"]) == len(CASES)
    # Only the reference's S-measure has no value now and then, where the centre lies on the last row or column.
    gaps = [
        name
        for case, row in zip(CASES, recorded["cases"], strict=True)
        for name in row
        if row[name] is None and case.target.size > 1
    ]
    assert set(gaps) <= {"s"}
    assert len(gaps) <= 20
    for case, row in zip(CASES, recorded["cases"], strict=True):
        agrees(case, row)


@pytest.mark.filterwarnings("ignore")  # the library divides by the size of parts without pixels
def test_values_are_those_of_pysodmetrics_where_it_is_installed() -> None:
    sod = pytest.importorskip(
        "py_sod_metrics", reason="PySODMetrics pins OpenCV below 5, so it is not among the extras"
    )
    for case in CASES[::7]:
        agrees(case, reference(case, sod))


def judged(case: Small, name: str) -> Case:
    return Case(name, case.predicted, case.target, case.foreground)


def test_the_set_is_the_mean_of_images_and_of_curves() -> None:
    scores = SaliencyScores()
    rows = [scores.add(judged(case, str(index))) for index, case in enumerate(CASES[:30])]
    result = scores.result()
    singles = [values_of(case) for case in CASES[:30]]
    for key, name in (("s_measure", "s"), ("mae", "mae"), ("weighted_f", "weighted_f"), ("e_adaptive", "e_adaptive")):
        assert result[key] == pytest.approx(statistics.fmean(single[name] for single in singles))
        assert [row[key] for row in rows] == [single[name] for single in singles]
    for letter in "ef":
        curve = np.mean([single[f"{letter}_curve"] for single in singles], axis=0)
        assert result[f"{letter}_max"] == pytest.approx(curve.max())
        assert result[f"{letter}_mean"] == pytest.approx(curve.mean())


def test_empty_cases() -> None:
    empty, full = np.zeros((6, 5)), np.ones((6, 5))
    nothing, wrong = values_of(Small(empty, empty.astype(np.uint8))), values_of(Small(full, empty.astype(np.uint8)))
    assert (nothing["s"], nothing["mae"], nothing["weighted_f"]) == (1, 0, 0)
    assert (wrong["s"], wrong["mae"], wrong["weighted_f"]) == (0, 1, 0)
    perfect = values_of(Small(full, full.astype(np.uint8)))
    assert (perfect["s"], perfect["weighted_f"]) == (1, pytest.approx(1))
    assert perfect["e_curve"][255] == pytest.approx(30 / 29)
    scores = SaliencyScores()
    assert scores.result()["s_measure"] is None
    assert scores.result()["e_max"] is None
    scores.add(Case("a", empty.astype(np.uint8), empty.astype(np.uint8), empty))
    assert scores.result()["num_without_foreground"] == 1


def test_ignored_pixels_count_as_right_background() -> None:
    for seed, case in enumerate(CASES[:60]):
        hidden = with_ignored(case, seed)
        same = Small(np.where(hidden.target == IGNORE, 0, case.foreground), np.where(hidden.target == 1, 1, 0))
        assert SaliencyScores().add(judged(hidden, "a")) == SaliencyScores().add(judged(same, "a"))


def test_maps_that_are_none_are_refused() -> None:
    for wrong in (
        np.zeros((2, 2, 1)),
        np.zeros((2, 2), int),
        np.full((2, 2), 1.5),
        np.full((2, 2), np.nan),
        np.zeros((0, 2)),
    ):
        with pytest.raises(ShapeError):
            saliency.stretch(wrong)
    with pytest.raises(ShapeError, match="probability map of the one class"):
        SaliencyScores().add(Case("a", np.zeros((2, 2), np.uint8), np.zeros((2, 2), np.uint8)))
