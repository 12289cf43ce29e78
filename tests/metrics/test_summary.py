"""Mean and standard deviation against exact fractions."""

from __future__ import annotations

import math
import statistics
from fractions import Fraction

import pytest

from samtune.metrics.summary import Mean


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
