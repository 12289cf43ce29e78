"""Differences between two rows, with confidence intervals over seeds and test images as crossed factors.

The analysis, its assumptions and what it leaves out are in docs/design/compare.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import stdtrit

from samtune.text import signed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

LEVEL = 0.95
"""Coverage of the interval of a single difference, 0..1."""


@dataclass(frozen=True)
class Difference:
    """Mean difference of two rows, with its confidence interval.

    Attributes:
        mean: over seeds and images, first row minus second.
        low: lower end of the interval; -inf where the spread is unknown.
        high: upper end; inf where the spread is unknown.
        num_seeds: number of seeds that both rows have.
        num_units: number of images, or groups of images, that count as independent.
    """

    mean: float
    low: float
    high: float
    num_seeds: int
    num_units: int

    @property
    def verdict(self) -> str:
        """The first row is "better", "worse" or "not distinguishable" from the second."""
        if self.low > 0:
            return "better"
        return "worse" if self.high < 0 else "not distinguishable"

    def __neg__(self) -> Difference:
        """Return the second row minus the first."""
        return Difference(-self.mean, -self.high, -self.low, self.num_seeds, self.num_units)

    def __str__(self) -> str:
        """Return the difference with its interval: `+0.032 (95 %: +0.011 to +0.053)`."""
        if math.isinf(self.low):
            return f"{signed(self.mean)} (one image or group: no interval)"
        return f"{signed(self.mean)} ({100 * LEVEL:.0f} %: {signed(self.low)} to {signed(self.high)})"


def difference(
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    units: Sequence[int] | None = None,
) -> Difference:
    """Return the difference of two rows over the same seeds and images.

    Args:
        first: (S, I) score of each image with each seed.
        second: (S, I) scores of the other row.
        units: for each of the I images, the number of the unit that it belongs to; None where each image is a unit.

    Returns:
        The mean over seeds and images with its interval, which is -inf..inf for a single unit.
    """
    table = unit_table(np.asarray(first, np.float64) - np.asarray(second, np.float64), units)
    num_seeds, num_units = table.shape
    mean = float(table.mean())
    if num_units < 2:
        return Difference(mean, -math.inf, math.inf, num_seeds, num_units)
    variance, freedom = variance_of_mean(table)
    reach = float(stdtrit(freedom, (1 + LEVEL) / 2)) * math.sqrt(variance)  # the quantile of Student's t
    return Difference(mean, mean - reach, mean + reach, num_seeds, num_units)


def unpaired_difference(first: tuple[float, float], second: tuple[float, float], num_images: int) -> Difference:
    """Return the difference of two rows of which only means and standard deviations over images are known.

    Args:
        first: mean and population standard deviation of a row.
        second: the same of the other row.
        num_images: in each row.
    """
    mean = first[0] - second[0]
    if num_images < 2:
        return Difference(mean, -math.inf, math.inf, 1, num_images)
    error = math.sqrt((first[1] ** 2 + second[1] ** 2) / (num_images - 1))
    reach = float(stdtrit(num_images - 1, (1 + LEVEL) / 2)) * error
    return Difference(mean, mean - reach, mean + reach, 1, num_images)


def unit_table(differences: NDArray[np.float64], units: Sequence[int] | None) -> NDArray[np.float64]:
    """Return (S, I) values as (S, G) values of units whose mean is the mean over images.

    A unit's value is the linearisation of the mean per unit: with sizes n_g and totals T_sg over G units and I images,
    mean + (T_sg - n_g mean) G / I. Where each image is a unit, that is the image's own value.
    """
    if units is None:
        return differences
    names, index = np.unique(np.asarray(units), return_inverse=True)
    belongs = (index[None, :] == np.arange(len(names))[:, None]).astype(np.float64)  # (G, I)
    mean = differences.mean()
    totals = differences @ belongs.T
    linear: NDArray[np.float64] = mean + (totals - belongs.sum(1) * mean) * len(names) / differences.shape[1]
    return linear


def variance_of_mean(table: NDArray[np.float64]) -> tuple[float, float]:
    """Return the variance of the mean of a crossed table (S, G), and its degrees of freedom.

    With one seed only the units are left. Negative components of variance count as 0.
    """
    seeds, units = table.shape
    mean = table.mean()
    if seeds == 1:
        return float(table.var(ddof=1) / units), float(units - 1)
    by_seed, by_unit = table.mean(1), table.mean(0)
    rest = table - by_seed[:, None] - by_unit[None, :] + mean
    squares = (
        units * float(((by_seed - mean) ** 2).sum()) / (seeds - 1),
        seeds * float(((by_unit - mean) ** 2).sum()) / (units - 1),
        float((rest**2).sum()) / ((seeds - 1) * (units - 1)),
    )
    total = squares[0] + squares[1] - squares[2]
    if total >= max(squares[:2]):
        freedoms = (seeds - 1, units - 1, (seeds - 1) * (units - 1))
        below = sum(square**2 / freedom for square, freedom in zip(squares, freedoms, strict=True))
        freedom = total**2 / below if below > 0 else float(seeds - 1)
    else:
        total = max(squares[:2])
        freedom = float(seeds - 1 if squares[0] >= squares[1] else units - 1)
    return total / (seeds * units), max(1.0, freedom)
