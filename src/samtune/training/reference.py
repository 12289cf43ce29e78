"""Reference of all settings: name, type, range or words, default and help, read from the fields themselves.

The help is the first sentence on the field in the section "Attributes" of its class's docstring.
"""

from __future__ import annotations

import inspect
import math
import re
import types
import typing
from dataclasses import MISSING, Field, dataclass, fields
from typing import Any, Literal

from samtune.losses import LossKind
from samtune.methods import METHODS, find_method
from samtune.methods.seam.fields import MAX_FIELD
from samtune.tasks import TASKS
from samtune.training.names import ALIASES, FIELD_ALIASES
from samtune.training.settings import RANGES, TrainSettings

OPEN = {
    "side": "the base's own", "shots": "all", "epochs": "none", "accumulate": "as few as fit",
    "views": "8, or 1 where flipped only", "evaluations": "20", "device": "cuda where there is one",
}  # fmt: skip
"""Defaults, in words, of settings that are None and not decided by a method's recipe."""

TYPES = {int: "whole number", float: "number", bool: "true or false", str: "text"}


@dataclass(frozen=True)
class Setting:
    """One setting.

    Attributes:
        name: name for `--set`: of a method's field with `method.` before it.
        type: type in words.
        low: lowest value of a number; None for none.
        high: highest value of a number; None for none.
        words: allowed words; () where any text fits, or for numbers.
        default: default in words, as it would be written.
        source: where the default comes from: "setting", "recipe" (the method's) or "run" (decided when it starts).
        help: one sentence.
        aliases: other names.
    """

    name: str
    type: str
    low: float | None
    high: float | None
    words: tuple[str, ...]
    default: str
    source: Literal["setting", "recipe", "run"]
    help: str
    aliases: tuple[str, ...]


def settings_of(method: str = TrainSettings.method) -> tuple[Setting, ...]:
    """Return the settings of a training with a method, then the fields of the method, each in alphabetical order.

    Raises:
        ConfigError: the method is unknown.
    """
    cls = find_method(method)
    hints, helps = typing.get_type_hints(TrainSettings), field_help(TrainSettings)
    own = [
        _setting(f, hints[f.name], RANGES.get(f.name), helps, _aliases(f.name, ALIASES), _default(f, cls, method))
        for f in fields(TrainSettings)
        if f.name != "method_fields"
    ]
    hints, helps = typing.get_type_hints(cls), field_help(cls)
    bounds = getattr(cls, "ranges", {})
    extra = [
        _setting(
            f, hints[f.name], bounds.get(f.name), helps, _aliases(f.name, FIELD_ALIASES), _own_default(f), "method."
        )
        for f in fields(cls)
    ]
    return (*sorted(own, key=lambda s: s.name), *sorted(extra, key=lambda s: s.name))


def field_help(cls: type) -> dict[str, str]:
    """Return the first sentence on each field in the section "Attributes" of a class's docstring; {} without one."""
    text = inspect.cleandoc(cls.__doc__ or "")
    section = re.search(r"^Attributes:\n((?:[ ]{4}.*\n?|\n)*)", text, re.MULTILINE)
    found = re.findall(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", section[1] if section else "", re.MULTILINE)
    return {name: _first_sentence(" ".join(words.split())) for name, words in found}


def _first_sentence(text: str) -> str:
    sentence = re.split(r"(?<=\.) (?=[A-Z0-9`\"])", text, maxsplit=1)[0]
    return f"{sentence[0].upper()}{sentence[1:].rstrip('.')}."


def _setting(
    field: Field[Any],
    hint: Any,
    bounds: tuple[float, float] | None,
    helps: dict[str, str],
    aliases: tuple[str, ...],
    default: tuple[str, Literal["setting", "recipe", "run"]],
    prefix: str = "",
) -> Setting:
    kind, words = _kind(hint)
    if not prefix:
        words = {"task": tuple(TASKS), "method": tuple(METHODS), "loss": ("auto", *typing.get_args(LossKind))}.get(
            field.name, words
        )
    low, high = bounds or (-math.inf, math.inf)
    if prefix and kind == TYPES[int]:
        high = min(high, MAX_FIELD)
    return Setting(
        name=prefix + field.name,
        type="word" if words else kind,
        low=None if math.isinf(low) else low,
        high=None if math.isinf(high) else high,
        words=words,
        default=default[0],
        source=default[1],
        help=helps.get(field.name, ""),
        aliases=aliases,
    )


def _kind(hint: Any) -> tuple[str, tuple[str, ...]]:
    """Return a type in words, and the words that it allows."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return "word", tuple(map(str, arguments))
    if origin in (typing.Union, types.UnionType):
        return _kind(next(arm for arm in arguments if arm is not type(None)))
    if origin in (tuple, list):
        return f"list of {_kind(arguments[0])[0]}s".replace("texts", "words"), ()
    return TYPES.get(hint, getattr(hint, "__name__", str(hint))), ()


def _default(field: Field[Any], method: type[Any], name: str) -> tuple[str, Literal["setting", "recipe", "run"]]:
    """Return the default of a setting, from the method's recipe where the setting leaves it open."""
    if field.name == "tta":
        few = method.recipe.few_tta
        return ("none" if few == "none" else f"{few} for few images, else none"), "recipe"
    value = name if field.name == "method" else field.default
    from_recipe = value is None or (field.name == "loss" and value == "auto")
    if from_recipe and getattr(method.recipe, field.name, None) is not None and field.name not in OPEN:
        return plain_value(getattr(method.recipe, field.name)), "recipe"
    return (OPEN[field.name], "run") if value is None else (plain_value(value), "setting")


def _own_default(field: Field[Any]) -> tuple[str, Literal["setting", "recipe", "run"]]:
    """Return the default of a method's field; a field of another package may have none."""
    value = field.default_factory() if field.default_factory is not MISSING else field.default
    if value is MISSING or value is None:
        return ("none; give one" if value is MISSING else "decided by the base"), "run"
    return plain_value(value), "setting"


def plain_value(value: Any) -> str:
    """Return a value as it is written after `--set NAME=`."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return "[" + ", ".join(f'"{item}"' if isinstance(item, str) else plain_value(item) for item in value) + "]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _aliases(name: str, table: typing.Mapping[str, str]) -> tuple[str, ...]:
    return tuple(alias for alias, field in table.items() if field == name)
