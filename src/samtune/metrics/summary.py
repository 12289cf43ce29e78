"""Mean and deviation of a stream of values: exact, so that order and grouping do not matter."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction


@dataclass
class Mean:
    """A running mean; holds two sums, whatever came.

    Values that are None are counted in `num_undefined` and enter nothing else.

    Attributes:
        num: values that entered.
        num_undefined: how often None came.
    """

    num: int = 0
    num_undefined: int = 0
    _total: Fraction = Fraction(0)
    _squares: Fraction = Fraction(0)

    def add(self, value: float | None) -> None:
        """Take one value; None where it is not defined.

        Raises:
            ValueError: the value is NaN or infinite: such a value must be None, and its case documented.
        """
        if value is None:
            self.num_undefined += 1
            return
        if not math.isfinite(value):
            raise ValueError(f"a value to be averaged must be finite or None, not {value}")
        exact = Fraction(value)
        self.num += 1
        self._total += exact
        self._squares += exact * exact

    def __add__(self, other: Mean) -> Mean:
        return Mean(
            self.num + other.num,
            self.num_undefined + other.num_undefined,
            self._total + other._total,
            self._squares + other._squares,
        )

    @property
    def mean(self) -> float | None:
        """The mean of the values; None where none came."""
        return float(self._total / self.num) if self.num else None

    @property
    def std(self) -> float | None:
        """The population standard deviation (divided by n); None where no value came."""
        if not self.num:
            return None
        return math.sqrt(self._squares / self.num - (self._total / self.num) ** 2)
