"""The learning curve against a law that is known."""

from __future__ import annotations

import numpy as np
import pytest

from samtune.compare.curve import forecast
from tests.metrics.test_differences import crossed


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
