"""Validation of values from outside (files, the command line, keyword arguments) by the types that fields declare.

    updates: int | None        "Expected `updates` to be a whole number, got 3.7."
    RANGES = {"updates": (1, 10**9)}       "Expected `updates` >= 1, got 0."

Validation is strict: True and "64" are not numbers, 3.0 is not a whole number, NaN and infinity are not numbers. Only
lossless conversions are made: whole numbers to floats, lists to tuples, NumPy's scalars to Python's.
"""

from __future__ import annotations

import math
import numbers
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from samtune.printable import is_name, one_line, shown

Ranges = Mapping[str, tuple[float, float]]
"""Field -> lowest and highest allowed value; infinity for no bound."""

MAX_INTEGER = 2**53
"""Largest whole number that JSON and floats represent exactly."""


class UnfitError(Exception):
    """A value does not have the declared type; the text is what was expected, such as "to be a whole number"."""


def conform(value: Any, hint: Any) -> Any:
    """Return a value in the type that a hint declares.

    Args:
        value: any object.
        hint: int, float, bool, str, Path, Any, None, a Literal, or tuples, lists, mappings and unions of these.

    Returns:
        The value, converted only without loss; see the top of this file.

    Raises:
        UnfitError: the value is of another type, not finite, or too large for a number.
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if hint is None or hint is type(None):
        return _check(value, value is None, "none")
    if origin is typing.Literal:
        fits = any(type(value) is type(word) and value == word for word in arguments)
        return _check(value, fits, f"one of {', '.join(map(str, arguments))}")
    if origin in (typing.Union, types.UnionType):
        return _union(value, arguments)
    if origin is tuple:
        return _tuple(value, arguments)
    if origin in (list, Sequence):
        items = _check(value, isinstance(value, list | tuple), "a list")
        return [conform(item, arguments[0]) for item in items]
    if origin in (dict, Mapping) or hint is dict:
        _check(value, isinstance(value, Mapping), "a table of names and values")
        key_hint, item_hint = arguments or (Any, Any)
        return {conform(key, key_hint): conform(item, item_hint) for key, item in value.items()}
    return _scalar(value, hint)


def problems_of(
    values: Mapping[str, Any], hints: Mapping[str, Any], ranges: Ranges
) -> tuple[dict[str, Any], list[str]]:
    """Check values by the types and ranges of their fields.

    Args:
        values: values by name; those without a hint are not checked.
        hints: the type of each field.
        ranges: the ranges of numeric fields; None is in every range.

    Returns:
        The converted values, and one clause for each invalid value, such as "Expected `rank` >= 1, got 0".
    """
    fitting, problems = dict(values), []
    for name, value in values.items():
        if name not in hints:
            continue
        try:
            fitting[name] = conform(value, hints[name])
        except UnfitError as error:
            problems.append(f"Expected `{one_line(name)}` {error}, got {shown(value)}")
            continue
        problem = out_of_range(name, fitting[name], ranges)
        if problem:
            problems.append(problem)
    return fitting, problems


def out_of_range(name: str, value: Any, ranges: Ranges) -> str | None:
    """Return a clause on a number outside its range; None if it is inside or has no range."""
    if value is None or name not in ranges:
        return None
    low, high = ranges[name]
    if low <= value <= high:
        return None
    if high == math.inf:
        return f"Expected `{name}` >= {low:g}, got {shown(value)}"
    return f"Expected {low:.10g} <= `{name}` <= {high:.10g}, got {shown(value)}"


def convert_fields(record: Any, ranges: Ranges) -> list[str]:
    """Check the fields of a frozen dataclass and store their converted values, for use in `__post_init__`.

    Args:
        record: an instance of a dataclass whose annotations can be resolved at run time.
        ranges: the ranges of its numeric fields.

    Returns:
        One clause for each field whose value is not valid.
    """
    hints = typing.get_type_hints(type(record))
    values = {name: getattr(record, name) for name in record.__dataclass_fields__}
    fitting, problems = problems_of(values, hints, ranges)
    for name, value in fitting.items():
        if value is not values[name]:
            object.__setattr__(record, name, value)
    return problems


def _check(value: Any, fits: bool, expected: str) -> Any:
    if not fits:
        raise UnfitError(f"to be {expected}")
    return value


def _scalar(value: Any, hint: Any) -> Any:
    if hint is bool:
        fits = isinstance(value, bool) or type(value).__name__ == "bool"  # NumPy's
        return bool(_check(value, fits, "true or false"))
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if hint is int:
        _check(value, is_number and isinstance(value, numbers.Integral), "a whole number")
        return int(_check(value, abs(value) <= MAX_INTEGER, f"a whole number up to {MAX_INTEGER}"))
    if hint is float:
        finite = is_number and (abs(value) <= MAX_INTEGER if isinstance(value, int) else math.isfinite(value))
        return float(_check(value, finite, "a finite number"))
    if hint is str:
        _check(value, isinstance(value, str), "text")
        return _check(value, is_name(value), "text without NUL characters and lone surrogates")
    if hint is Path:
        _check(value, isinstance(value, str | Path), "a path")
        return Path(_check(value, is_name(str(value)), "a path without NUL characters and lone surrogates"))
    return _check(value, isinstance(value, hint), f"of type {hint.__name__}")


def _union(value: Any, arms: tuple[Any, ...]) -> Any:
    if value is None and type(None) in arms:
        return None
    expected = []
    for arm in arms:
        if arm is type(None):
            continue
        try:
            return conform(value, arm)
        except UnfitError as error:
            expected.append(str(error).removeprefix("to be "))
    raise UnfitError("to be " + " or ".join(expected))


def _tuple(value: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    _check(value, isinstance(value, list | tuple), "a list")
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        hints = [arguments[0]] * len(value)
    else:
        _check(value, len(value) == len(arguments), f"a list of {len(arguments)} items")
        hints = list(arguments)
    try:
        return tuple(conform(item, hint) for item, hint in zip(value, hints, strict=True))
    except UnfitError as error:
        raise UnfitError(f"to be a list with each item {str(error).removeprefix('to be ')}") from error
