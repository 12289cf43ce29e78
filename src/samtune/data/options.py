"""Options on how masks are read; everything that they leave open is inferred from the files, and reported."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

from samtune.errors import ConfigError
from samtune.printable import shown

MAX_CLASSES = 254
"""Largest number of classes: label maps are uint8, with 0 for background and 255 for ignored pixels."""

MAX_VALUE = 2**53
"""Mask values are smaller than this in magnitude, so that float64 represents them exactly."""

NOT_CLASSES = frozenset({"background", "ignore", "void"})
"""Names in a colour map, or of sub-folders, that are not classes."""


@dataclass(frozen=True)
class DataOptions:
    """Options on how masks are read, for what the files leave open.

    Attributes:
        num_classes: K, the number of foreground classes; more in the masks is an error. With K given, the ids 1..K
            keep their meaning even if some of them do not occur.
        class_names: K names in the order of the ids; implies `num_classes`.
        colours: class name -> (red, green, blue) of RGB masks, 0..255. Black is background. The names "background" and
            "ignore" (or "void") stand for background and ignored pixels.
        ignore_label: the value of ignored pixels in the mask files (types.IGNORE in label maps): an integer, which may
            be negative, or NaN.
        ids: the values in the mask files that become classes 1..K, in this order. `Dataset.options` gives them, to read
            another folder alike. With 0 among them, 0 is a class.
        instances: True: every id (or colour) but the background is one object of a single class; False: ids are
            classes; None: inferred.
        background: the values of background in the mask files, integers or NaN. Default: 0.
        threshold: there is one class, the pixels whose value (or alpha) is above this number.
        colour_tolerance: largest distance of a colour from the nearest one of `colours`, in each channel, 0..255.
            Default: 16, or less where two of the colours are closer than 33.
        drawn_on: "shown": masks were drawn on the images as viewers show them, with the EXIF rotation; "stored": on the
            images before it, so that a mask is rotated like its image; None: inferred from the sizes; an error if
            these leave it open.

    Raises:
        ConfigError: a field has the wrong type or is out of range, or fields contradict each other.
    """

    num_classes: int | None = None
    class_names: tuple[str, ...] | None = None
    colours: Mapping[str, tuple[int, int, int]] | None = None
    ignore_label: int | float | None = None
    ids: tuple[int, ...] | None = None
    instances: bool | None = None
    background: tuple[int | float, ...] | None = None
    threshold: int | float | None = None
    colour_tolerance: int | None = None
    drawn_on: str | None = None

    def __post_init__(self) -> None:
        """Check every field alone, then the fields together."""
        for name, check in _CHECKS.items():
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, check(name, value))
        self._check_classes()
        self._check_values()

    def _check_classes(self) -> None:
        names, meant = self.class_names, self.num_classes_meant
        if names is not None and self.num_classes not in (None, len(names)):
            raise ConfigError(
                f"Expected as many `class_names` as `num_classes`, got {self.num_classes} and {list(names)}; "
                "background is neither counted nor named."
            )
        if self.colours is not None:
            classes = [name for name in self.colours if name.lower() not in NOT_CLASSES]
            if not classes:
                raise ConfigError("Expected at least one class in `colours` besides background and ignore, got none.")
            if names is not None and set(classes) != set(names):
                raise ConfigError(
                    f"Expected the same classes in `class_names` and `colours`, got {list(names)} and {classes}."
                )
        if self.ids is not None and meant not in (None, len(self.ids)):
            raise ConfigError(f"Expected as many `ids` as classes, got {len(self.ids)} ids and {meant} classes.")
        if self.instances and meant not in (None, 1):
            raise ConfigError(f"Expected one class with `instances=True`, got {meant} classes.")

    def _check_values(self) -> None:
        """Check that each value has one meaning, and that a threshold is combined with no other meaning of values."""
        meanings = {
            "ids": self.ids or (),
            "background": self.background or (),
            "ignore_label": () if self.ignore_label is None else (self.ignore_label,),
        }
        seen: dict[str, str] = {}
        for name, values in meanings.items():
            for value in values:
                other = seen.setdefault(str(value), name)
                if other != name:
                    raise ConfigError(f"Expected each value in one option, got {value} in `{other}` and in `{name}`.")
        if self.threshold is not None:
            for name in ("ids", "background", "colours"):
                if getattr(self, name) is not None:
                    raise ConfigError(f"`threshold` and `{name}` exclude each other; give one of them.")
            if self.instances or self.num_classes_meant not in (None, 1):
                raise ConfigError("Expected one class and no instances with `threshold`, which reads one class.")
        if self.colours is not None and self.background is not None:
            raise ConfigError('`background` is a value of grey masks; name the colour "background" in `colours`.')
        if self.colour_tolerance is not None and self.colours is None:
            raise ConfigError("`colour_tolerance` has no effect without `colours`.")

    @property
    def num_classes_meant(self) -> int | None:
        """K as given by `num_classes` or `class_names`, None where neither is given."""
        if self.num_classes is not None:
            return self.num_classes
        return len(self.class_names) if self.class_names is not None else None


def _integer(name: str, value: Any, low: int, high: int) -> int:
    if isinstance(value, Integral) and not isinstance(value, bool):
        integer = int(value)
        if low <= integer <= high:
            return integer
    raise ConfigError(f"Expected an integer in {low}..{high} for `{name}`, got {shown(value)}.")


def _value(name: str, value: Any) -> int | float:
    """Check a value of mask files: an integer, or NaN."""
    if isinstance(value, Real) and not isinstance(value, Integral) and math.isnan(value):
        return math.nan  # always this object, so that equal options compare as equal
    return _integer(name, value, 1 - MAX_VALUE, MAX_VALUE - 1)


def _sequence(name: str, value: Any) -> list[Any]:
    if isinstance(value, str | bytes | Mapping | Set) or not isinstance(value, Sequence):
        raise ConfigError(f"Expected a list for `{name}`, got {shown(value)}.")
    if not value:
        raise ConfigError(f"Expected at least one entry in `{name}`, got none.")
    return list(value)


def _distinct(name: str, values: Sequence[Any]) -> tuple[Any, ...]:
    if len({str(value) for value in values}) != len(values):
        raise ConfigError(f"Expected different entries in `{name}`, got {shown(list(values))}.")
    return tuple(values)


def _class_names(name: str, value: Any) -> tuple[str, ...]:
    names = _sequence(name, value)
    if any(not isinstance(each, str) or not each.strip() for each in names):
        raise ConfigError(f"Expected names that are not empty in `{name}`, got {shown(names)}.")
    if len(names) > MAX_CLASSES:
        raise ConfigError(f"Expected at most {MAX_CLASSES} `{name}`, got {len(names)}.")
    return _distinct(name, names)


def _colours(name: str, value: Any) -> dict[str, tuple[int, int, int]]:
    if not isinstance(value, Mapping) or not value:
        raise ConfigError(f"Expected a mapping of class names to (red, green, blue) for `{name}`, got {shown(value)}.")
    colours: dict[str, tuple[int, int, int]] = {}
    for key, colour in value.items():
        if not isinstance(key, str) or not key.strip():
            raise ConfigError(f"Expected names that are not empty in `{name}`, got {shown(key)}.")
        channels = _sequence(f"{name}[{key!r}]", colour)
        if len(channels) != 3:
            raise ConfigError(f"Expected three values in 0..255 for `{name}[{key!r}]`, got {shown(channels)}.")
        red, green, blue = (_integer(f"{name}[{key!r}]", channel, 0, 255) for channel in channels)
        colours[key] = (red, green, blue)
    if len(set(colours.values())) != len(colours):
        raise ConfigError(f"Expected a colour of its own for every class in `{name}`, got {shown(colours)}.")
    return colours


def _ids(name: str, value: Any) -> tuple[int, ...]:
    ids = [_integer(name, each, 0, MAX_VALUE - 1) for each in _sequence(name, value)]
    if len(ids) > MAX_CLASSES:
        raise ConfigError(f"Expected at most {MAX_CLASSES} `{name}`, got {len(ids)}.")
    return _distinct(name, ids)


def _background(name: str, value: Any) -> tuple[int | float, ...]:
    return _distinct(name, [_value(name, each) for each in _sequence(name, value)])


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ConfigError(f"Expected true or false for `{name}`, got {shown(value)}.")
    return value


def _word(name: str, value: Any, words: tuple[str, ...]) -> str:
    if value not in words:
        raise ConfigError(f"Expected {' or '.join(words)} for `{name}`, got {shown(value)}.")
    return str(value)


def _number(name: str, value: Any) -> int | float:
    if isinstance(value, Integral):
        return _value(name, value)
    if isinstance(value, Real) and abs(float(value)) < MAX_VALUE:
        return float(value)
    raise ConfigError(f"Expected a finite number for `{name}`, got {shown(value)}.")


_CHECKS: dict[str, Any] = {
    "num_classes": lambda name, value: _integer(name, value, 1, MAX_CLASSES),
    "class_names": _class_names,
    "colours": _colours,
    "ignore_label": _value,
    "ids": _ids,
    "instances": _flag,
    "background": _background,
    "threshold": _number,
    "colour_tolerance": lambda name, value: _integer(name, value, 0, 255),
    "drawn_on": lambda name, value: _word(name, value, ("shown", "stored")),
}
"""Field -> function of (name, value) that returns the value in its own type, or raises ConfigError."""
