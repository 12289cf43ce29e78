"""Mean and standard deviation of values that are added one by one."""

from __future__ import annotations

import math
from dataclasses import dataclass, field


@dataclass
class Mean:
    """Mean and standard deviation of scores, whatever their order; the values are kept.

    Attributes:
        values: the values so far.
        num_undefined: how often the value was None; these enter neither mean nor deviation.
    """

    values: list[float] = field(default_factory=list)
    num_undefined: int = 0

    def add(self, value: float | None) -> None:
        """Add one value; None where a score is not defined.

        Raises:
            ValueError: the value is NaN or infinite.
        """
        if value is None:
            self.num_undefined += 1
        elif math.isfinite(value):
            self.values.append(value)
        else:
            raise ValueError(f"Expected a finite value or None, got {value}.")

    @property
    def num(self) -> int:
        """Number of values that are not None."""
        return len(self.values)

    @property
    def mean(self) -> float | None:
        """Mean of the values; None without any."""
        return math.fsum(self.values) / self.num if self.values else None

    @property
    def std(self) -> float | None:
        """Population standard deviation of the values (divided by n); None without any."""
        mean = self.mean
        if mean is None:
            return None
        return math.sqrt(math.fsum((value - mean) ** 2 for value in self.values) / self.num)
