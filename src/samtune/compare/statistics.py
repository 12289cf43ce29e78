"""Differences between two rows with their chance: over seeds and test images at once, both crossed.

The analysis, its assumptions and what it leaves out are in docs/design/compare.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import stdtrit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

LEVEL = 0.95
"""How often the interval of a difference is meant to hold the true one; each by itself."""


@dataclass(frozen=True)
class Difference:
    """A mean difference of two rows, with its interval.

    Attributes:
        mean: over seeds and images, first row minus second.
        low: lower end of the interval; -inf where no spread can be told.
        high: upper end.
        num_seeds: seeds that both rows have.
        num_units: images, or groups of images, that count as independent.
    """

    mean: float
    low: float
    high: float
    num_seeds: int
    num_units: int

    @property
    def verdict(self) -> str:
        """better, worse, or not distinguishable."""
        if self.low > 0:
            return "better"
        return "worse" if self.high < 0 else "not distinguishable"


def difference(
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    units: Sequence[int] | None = None,
) -> Difference:
    """Compare two rows over the same seeds and images.

    Args:
        first: (S, I) score of each image with each seed.
        second: (S, I) the same of the other row.
        units: I numbers of the unit that an image belongs to; None where each image is its own.

    Returns:
        The mean over seeds and images with its interval; the whole line where there is one unit only.
    """
    table = unit_table(np.asarray(first, np.float64) - np.asarray(second, np.float64), units)
    num_seeds, num_units = table.shape
    mean = float(table.mean())
    if num_units < 2:
        return Difference(mean, -math.inf, math.inf, num_seeds, num_units)
    variance, freedom = variance_of_mean(table)
    reach = float(stdtrit(freedom, (1 + LEVEL) / 2)) * math.sqrt(variance)  # the quantile of Student's t
    return Difference(mean, mean - reach, mean + reach, num_seeds, num_units)


def unit_table(differences: NDArray[np.float64], units: Sequence[int] | None) -> NDArray[np.float64]:
    """(S, I) values as (S, G) values of units whose mean is the mean over images.

    A unit's value is the linearisation of the mean per unit: with sizes n_g and totals T_sg over G units and I images,
    mean + (T_sg - n_g mean) G / I. Where each image is a unit, that is the image's own value.
    """
    if units is None:
        return differences
    names, place = np.unique(np.asarray(units), return_inverse=True)
    belongs = (place[None, :] == np.arange(len(names))[:, None]).astype(np.float64)  # (G, I)
    mean = differences.mean()
    totals = differences @ belongs.T
    linear: NDArray[np.float64] = mean + (totals - belongs.sum(1) * mean) * len(names) / differences.shape[1]
    return linear


def variance_of_mean(table: NDArray[np.float64]) -> tuple[float, float]:
    """Variance of the mean of a crossed table (S, G), and its degrees of freedom.

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
