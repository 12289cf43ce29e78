"""Intervals against simulation and against the textbook; the learning curve against a law that is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from samtune.compare.curve import forecast
from samtune.compare.statistics import difference, unit_table, variance_of_mean


def test_one_seed_is_the_paired_t_interval() -> None:
    values = np.array([[0.1, 0.3, 0.2, 0.05, 0.4]])
    found = difference(values, np.zeros((1, 5)))
    error = values.std(ddof=1) / math.sqrt(5)
    assert found.mean == pytest.approx(0.21)
    assert found.high - found.mean == pytest.approx(2.776445 * error, rel=1e-6)
    assert (found.verdict, found.num_seeds, found.num_units) == ("better", 1, 5)


def crossed(rng: np.random.Generator, seeds: int, units: int, spread: tuple[float, float, float]) -> np.ndarray:
    """A table of mean 0 with effects of seeds, of units, and of both."""
    table: np.ndarray = (
        spread[0] * rng.standard_normal((seeds, 1))
        + spread[1] * rng.standard_normal((1, units))
        + spread[2] * rng.standard_normal((seeds, units))
    )
    return table


@pytest.mark.parametrize("spread", [(0.05, 0.2, 0.1), (0.1, 0.0, 0.1), (0.0, 0.2, 0.05)])
def test_the_interval_covers_as_often_as_it_says(spread: tuple[float, float, float]) -> None:
    """Over draws of seeds and of images, the true difference lies inside in about 95 % of the intervals."""
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(150):
        found = difference(crossed(rng, 3, 40, spread), np.zeros((3, 40)))
        inside += found.low <= 0 <= found.high
    assert 0.91 <= inside / 150 <= 1.0


def test_ignoring_the_seeds_would_cover_too_seldom() -> None:
    """Why both sources of chance are needed: with the images alone the interval is far too narrow."""
    rng = np.random.default_rng(1)
    inside = 0
    for _ in range(100):
        table = crossed(rng, 3, 40, (0.1, 0.0, 0.1))
        alone = difference(table.mean(0, keepdims=True), np.zeros((1, 40)))
        inside += alone.low <= 0 <= alone.high
    assert inside / 100 < 0.7


def test_groups_count_as_one() -> None:
    """Images that are copies of one another widen the interval to that of their groups; the mean stays."""
    rng = np.random.default_rng(2)
    few = crossed(rng, 3, 6, (0.01, 0.1, 0.05))
    copies = np.repeat(few, 10, axis=1)
    units = np.repeat(np.arange(6), 10)
    found, alone = difference(copies, 0 * copies, list(units)), difference(few, 0 * few)
    assert (found.mean, found.low, found.high) == pytest.approx((alone.mean, alone.low, alone.high))
    assert found.num_units == 6
    naive = difference(copies, 0 * copies)
    assert naive.high - naive.low < found.high - found.low
    uneven = unit_table(few, [0, 0, 0, 1, 1, 2])
    assert uneven.shape == (3, 3)
    assert uneven.mean() == pytest.approx(few.mean())


def test_no_spread_is_no_width_and_one_unit_is_all_width() -> None:
    same = difference(np.full((3, 5), 0.5), np.full((3, 5), 0.5))
    assert (same.low, same.high, same.verdict) == (0, 0, "not distinguishable")
    assert math.isinf(difference(np.array([[0.2], [0.3]]), np.zeros((2, 1))).high)
    assert variance_of_mean(np.array([[1.0, 1.0], [3.0, 3.0]])) == (1.0, 1.0)  # 2 seeds, nothing but seeds


def law(n: float, scale: float = 0.8, power: float = 0.4) -> float:
    return float(1 - scale * n**-power)


def tables(numbers: tuple[int, ...], spread: tuple[float, float, float], seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [law(n) + crossed(rng, 3, 50, spread) for n in numbers]


def test_a_law_without_noise_is_found_exactly() -> None:
    found = forecast([np.full((2, 4), law(n)) for n in (4, 8, 16)], (4, 8, 16))
    assert found is not None
    assert found.predicted == pytest.approx(law(32))
    assert found.gain == pytest.approx(law(32) - law(16))
    assert found.low == pytest.approx(found.high)
    assert found.misfit < 1e-9
    assert found.verdict == "pays"


def test_noise_widens_the_forecast_and_a_flat_curve_does_not_pay() -> None:
    quiet = forecast(tables((4, 8, 16), (0.005, 0.02, 0.02)), (4, 8, 16))
    loud = forecast(tables((4, 8, 16), (0.2, 0.1, 0.1)), (4, 8, 16))
    assert quiet is not None
    assert loud is not None
    assert quiet.low <= law(32) - law(16) <= quiet.high
    assert loud.high - loud.low > 3 * (quiet.high - quiet.low)
    assert loud.verdict == "unknown"
    flat = forecast([np.full((2, 4), 0.9) + 1e-4 * n for n in range(3)], (4, 8, 16))
    assert flat is not None
    assert flat.verdict == "does not pay"


def test_a_broken_curve_is_told_by_its_misfit() -> None:
    found = forecast([np.full((2, 4), value) for value in (0.3, 0.7, 0.5)], (4, 8, 16))
    assert found is not None
    assert found.misfit > 0.05


def test_the_forecast_covers_about_as_often_as_it_says() -> None:
    numbers, truth, inside = (4, 8, 16), law(32) - law(16), 0
    for seed in range(100):
        found = forecast(tables(numbers, (0.03, 0.05, 0.05), seed), numbers)
        assert found is not None
        inside += found.low <= truth <= found.high
    assert 0.82 <= inside / 100 <= 0.98  # 90 % is asked for


def test_too_few_points_give_no_forecast() -> None:
    two = tables((4, 8), (0.01, 0.01, 0.01))
    assert forecast(two, (4, 8)) is None
    assert forecast([table[:1] for table in tables((4, 8, 16), (0.01, 0.01, 0.01))], (4, 8, 16)) is None
    assert forecast([], ()) is None
