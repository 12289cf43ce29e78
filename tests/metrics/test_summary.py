"""Mean and standard deviation against exact fractions."""

from __future__ import annotations

import math
import statistics
from fractions import Fraction

import pytest

from samtune.metrics.summary import Mean


def test_a_mean_is_exact_in_any_order() -> None:
    values = [0.1, 1e16, 0.3, -1e16, 0.7, 1 / 3] * 20
    one, reversed_order, sorted_order = Mean(), Mean(), Mean()
    for accumulator, ordered in ((one, values), (reversed_order, values[::-1]), (sorted_order, sorted(values))):
        for value in ordered:
            accumulator.add(value)
    exact = sum(map(Fraction, values)) / len(values)
    assert one.mean == reversed_order.mean == sorted_order.mean == float(exact)
    assert one.std == reversed_order.std == sorted_order.std == pytest.approx(statistics.pstdev(values))
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
