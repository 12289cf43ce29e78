"""Intervals against simulation and against the textbook."""

from __future__ import annotations

import math

import numpy as np
import pytest

from samtune.metrics.differences import Difference, difference, unit_table, unpaired_difference, variance_of_mean


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


def test_unpaired_rows_have_both_spreads() -> None:
    one, two = (np.random.default_rng(seed).random(20) for seed in (0, 1))
    found = unpaired_difference((one.mean(), one.std()), (two.mean(), two.std()), 20)
    error = math.sqrt(one.var(ddof=1) / 20 + two.var(ddof=1) / 20)
    assert found.mean == pytest.approx(one.mean() - two.mean())
    assert found.high - found.mean == pytest.approx(2.09302 * error, rel=1e-4)
    assert math.isinf(unpaired_difference((0.5, 0.0), (0.2, 0.0), 1).high)


def test_turned_round_it_says_the_opposite() -> None:
    found = Difference(0.0321, 0.011, 0.0534, 3, 10)
    assert -found == Difference(-0.0321, -0.0534, -0.011, 3, 10)
    assert (found.verdict, (-found).verdict) == ("better", "worse")


def test_differences_are_written_with_their_interval() -> None:
    assert str(Difference(0.0321, 0.011, 0.0534, 3, 10)) == "+0.032 (95 %: +0.011 to +0.053)"
    assert str(Difference(-0.0001, -0.02, 0.0, 3, 10)) == "0.000 (95 %: −0.020 to 0.000)"
    assert "no interval" in str(Difference(0.1, -np.inf, np.inf, 1, 1))
