"""Names of settings as people write them: aliases, and hyper-parameters with or without the method's name.

lr=1e-3        learning_rate=1e-3
rank=4         method.rank=4, of every method that is trained and has the field
lora.rank=4    the same of one method
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import fields
from typing import Any

from samtune.errors import ConfigError
from samtune.methods import METHODS, find_method
from samtune.printable import shown
from samtune.progress import say
from samtune.text import did_you_mean, listing
from samtune.training.settings import TrainSettings

SETTINGS = tuple(f.name for f in fields(TrainSettings))
"""Names of the settings of a training."""

ALIASES: Mapping[str, str] = {
    "lr": "learning_rate", "wd": "weight_decay", "batch": "batch_size", "bs": "batch_size", "epoch": "epochs",
    "num_epochs": "epochs", "steps": "updates", "iterations": "updates", "image_size": "side", "img_size": "side",
    "imgsz": "side", "scheduler": "schedule", "grad_clip": "clip_norm", "augment": "augmentation",
}  # fmt: skip
"""Other names of settings."""

FIELD_ALIASES: Mapping[str, str] = {"r": "rank", "lora_rank": "rank", "lora_alpha": "alpha"}
"""Other names of hyper-parameters, for the methods that have the field and none of the other name."""


def settings_by_name(values: Mapping[str, Any], known: Container[str] = SETTINGS) -> dict[str, Any]:
    """Replace aliases of settings by their names, and say so.

    Args:
        values: settings by the names that were written; unknown ones stay as they are.
        known: names of settings.

    Raises:
        ConfigError: a setting is given by two names.
    """
    named: dict[str, Any] = {}
    for key, value in values.items():
        name = _setting(key, known)
        if name in named or (name != key and name in values):
            raise ConfigError(f"Expected `{name}` once, got it by two names; leave one of them out.")
        if name != key:
            say(f"Setting {key} is read as {name}.")
        named[name] = value
    return named


def assign(
    values: Mapping[str, Any],
    by_home: Mapping[str, Mapping[str, Any]],
    methods: Sequence[str],
    known: Sequence[str] = SETTINGS,
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Separate the settings of a run from the hyper-parameters of its methods.

    Args:
        values: what was written without a point, by name.
        by_home: what was written with a point, by the word before it: "method" for each method with such a field, or
            the name of one.
        methods: keys of the methods that are trained.
        known: names of settings.

    Returns:
        Settings, and hyper-parameters by method. A word before the point that is none of `methods` stays as it is.

    Raises:
        ConfigError: a name is unknown or belongs to other methods, a setting is given twice, or a method is unknown.
    """
    types = {name: find_method(name) for name in methods}
    settings = {key: value for key, value in values.items() if _setting(key, known) in known}
    assigned: dict[str, dict[str, Any]] = {}
    for key in [key for key in values if key not in settings]:
        name = _give(key, values[key], types, assigned)
        if name is None:
            raise ConfigError(_unknown(key, types, known))
        say(f"Setting {key} is read as method.{name}.")
    for key, value in by_home.get("method", {}).items():
        name = _give(key, value, types, assigned)
        if name is None:
            raise ConfigError(_unknown(key, types, ()))
        if name != key:
            say(f"Setting method.{key} is read as method.{name}.")
    for home, given in by_home.items():
        for key, value in given.items() if home != "method" else ():
            name = _field(key, types[home]) if home in types else None
            assigned.setdefault(home, {})[name or key] = value
    return settings_by_name(settings, known), assigned


def _setting(key: str, known: Container[str]) -> str:
    """Return the name of a setting: also written with hyphens, as its option, or by an alias."""
    plain = key.replace("-", "_")
    name = plain if plain in known else ALIASES.get(plain, plain)
    return name if name in known else key


def _field(key: str, method: type[Any]) -> str | None:
    """Return the name of a method's field; None where it has no such field."""
    own, plain = [f.name for f in fields(method)], key.replace("-", "_")
    return next((name for name in (plain, FIELD_ALIASES.get(plain)) if name in own), None)


def _give(key: str, value: Any, types: Mapping[str, type[Any]], assigned: dict[str, dict[str, Any]]) -> str | None:
    """Give a hyper-parameter to each method that has it, and return the name of the field; None where none has."""
    found = None
    for method, cls in types.items():
        name = _field(key, cls)
        if name is not None:
            assigned.setdefault(method, {})[name] = value
            found = name
    return found


def _unknown(key: str, types: Mapping[str, type[Any]], known: Sequence[str]) -> str:
    """Return why a name is refused: it belongs to other methods, or is near another name."""
    trained = listing(list(types))
    owners = [name for name in METHODS if _field(key, METHODS[name])]
    if owners:
        return (
            f"Expected settings of {trained} in --set, got {shown(key)} of {listing(owners)}; choose another method or "
            "leave it out."
        )
    own = dict.fromkeys(f.name for cls in types.values() for f in fields(cls))
    near = did_you_mean(key, [*known, *own])
    return f"Expected known settings in --set, got {shown(key)}{near}; `samtune settings --method NAME` lists them."
