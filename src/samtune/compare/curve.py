"""Learning curve of one row: a power law of the error, and the gain from doubling the images.

    log(1 - IoU(n)) = a - b log n

Fitted by least squares over the numbers of images; the interval is that of the linearised gain over seeds and test
images, as for differences. docs/design/compare.md gives the reasons, and says when no curve is fitted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import stdtrit

from samtune.metrics.differences import unit_table, variance_of_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

INTERVAL = 0.90
"""Coverage of the interval of the gain."""
SMALLEST_ERROR = 1e-3
"""Lower bound of 1 - IoU, so that its logarithm exists."""
WORTH = 0.01
"""Gain in IoU below which labelling more does not pay."""
MISFIT = 0.02
"""Distance from a measured mean above which the law is a bad fit."""


@dataclass(frozen=True)
class Forecast:
    """Forecast of the fitted law for twice as many images.

    Attributes:
        num_images: measured numbers of images, rising.
        means: mean IoU measured at each.
        fitted: IoU of the law at each.
        target: twice the largest measured number of images.
        predicted: IoU of the law there.
        gain: increase of the law's IoU from the largest measured number to the target.
        low: lower end of the gain's interval.
        high: upper end.
    """

    num_images: tuple[float, ...]
    means: tuple[float, ...]
    fitted: tuple[float, ...]
    target: float
    predicted: float
    gain: float
    low: float
    high: float

    @property
    def misfit(self) -> float:
        """Largest distance of the law from a measured mean."""
        return max(abs(a - b) for a, b in zip(self.means, self.fitted, strict=True))

    @property
    def verdict(self) -> str:
        """Whether labelling more pays: pays, does not pay, or unknown."""
        if self.low >= WORTH:
            return "pays"
        return "does not pay" if self.high < WORTH else "unknown"


def forecast(
    tables: Sequence[NDArray[np.float64]],
    num_images: Sequence[float],
    units: Sequence[int] | None = None,
) -> Forecast | None:
    """Fit the law and evaluate it at twice the largest number of images.

    Args:
        tables: for each number of images (S, I) IoU, the same seeds and test images in each.
        num_images: number of labelled images of each table, rising.
        units: for each of I images the number of the unit it belongs to; None where each is its own.

    Returns:
        The forecast; None with fewer than three numbers of images or fewer than two seeds.
    """
    stack = np.stack([np.asarray(table, np.float64) for table in tables]) if tables else np.zeros((0, 0, 0))
    if len(stack) < 3 or len(set(num_images)) != len(stack) or stack.shape[1] < 2:
        return None
    logs = np.log(np.asarray(num_images, dtype=np.float64))
    target = 2 * float(num_images[-1])
    means = stack.mean((1, 2))
    gain = _gain(means, logs)
    influence = np.einsum("l,lsi->si", _gradient(means, logs), stack - means[:, None, None])
    table = unit_table(influence, units)
    half_width = math.inf
    if table.shape[1] > 1:
        variance, freedom = variance_of_mean(table)
        half_width = float(stdtrit(freedom, (1 + INTERVAL) / 2)) * math.sqrt(variance)
    fitted = [float(iou_of_law(means, logs, x)) for x in (*logs, math.log(target))]
    return Forecast(
        num_images=tuple(map(float, num_images)),
        means=tuple(map(float, means)),
        fitted=tuple(fitted[:-1]),
        target=target,
        predicted=fitted[-1],
        gain=gain,
        low=gain - half_width,
        high=gain + half_width,
    )


def iou_of_law(means: NDArray[np.float64], logs: NDArray[np.float64], at: float) -> float:
    """Return the IoU, at the logarithm of a number of images, of the law fitted to mean IoUs."""
    errors = np.log(np.clip(1 - means, SMALLEST_ERROR, None))
    slope, intercept = np.polyfit(logs, errors, 1)
    return 1 - math.exp(float(intercept + slope * at))


def _gain(means: NDArray[np.float64], logs: NDArray[np.float64]) -> float:
    """Return the increase of the law's IoU from the largest number of images to twice as many."""
    last = float(logs[-1])
    return iou_of_law(means, logs, last + math.log(2)) - iou_of_law(means, logs, last)


def _gradient(means: NDArray[np.float64], logs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the derivative of the gain with respect to each mean, by central differences."""
    steps = 1e-5 * np.eye(len(means))
    return np.array([(_gain(means + step, logs) - _gain(means - step, logs)) / 2e-5 for step in steps])
