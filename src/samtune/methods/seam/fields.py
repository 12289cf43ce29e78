"""Ranges of hyper-parameters: declared by a method as `ranges`, checked here, listed by `samtune settings`."""

from __future__ import annotations

import math
from typing import Any

from samtune.errors import ConfigError
from samtune.printable import shown
from samtune.values import out_of_range

MAX_FIELD = 4096
"""Upper limit of whole-number hyper-parameters. Each counts layers, channels or tokens that are built, and SAM's widest
layer has fewer."""


def check_ranges(method: Any) -> None:
    """Check the numbers of a method by its `ranges`, for use in `__post_init__`.

    Args:
        method: instance of a method with a class variable `ranges`, field -> lowest and highest value.

    Raises:
        ConfigError: a number is not finite or out of range.
    """
    for name, bounds in method.ranges.items():
        check_range(f"{method.name}.{name}", getattr(method, name), bounds)


def check_range(where: str, value: float | None, bounds: tuple[float, float]) -> None:
    """Check a number.

    Args:
        where: name of the number in the message.
        value: the number; None is in every range.
        bounds: lowest and highest value, infinity for no bound.

    Raises:
        ConfigError: the number is not finite or out of range.
    """
    problem = out_of_range(where, value, {where: bounds})
    if value is not None and math.isinf(value):
        problem = problem or f"Expected `{where}` to be a finite number, got {shown(value)}"
    if problem:
        raise ConfigError(f"{problem}.")
