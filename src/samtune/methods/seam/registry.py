"""Table of methods: the only module that names each method, besides its own file.

A package outside adds a method by the entry points `samtune.methods` instead (`samtune/plugins.py`).
"""

from __future__ import annotations

import typing
from dataclasses import fields, is_dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

from samtune.errors import ConfigError
from samtune.methods.adapter import Adapter
from samtune.methods.bitfit import BitFit
from samtune.methods.conv_lora import ConvLoRA
from samtune.methods.decoder_only import DecoderOnly
from samtune.methods.full import Full, Scratch
from samtune.methods.lora import LoRA
from samtune.methods.lst import LST
from samtune.methods.probe import LinearProbe
from samtune.methods.ptsam import PTSAM
from samtune.methods.ptsam_encoder import PTSAMEncoder
from samtune.methods.sam_adapter import SAMAdapter
from samtune.methods.seam.fields import MAX_FIELD
from samtune.methods.seam.protocol import Method
from samtune.methods.seam.recipes import Recipe
from samtune.methods.ssf import SSF
from samtune.methods.ts_sam import TSSAM
from samtune.methods.vpt import VPT
from samtune.plugins import Table, check_members
from samtune.printable import shown
from samtune.text import did_you_mean
from samtune.values import UnfitError, conform


def _as_method(value: Any) -> type[Any]:
    """Return a method's class.

    Raises:
        ConfigError: it is no frozen dataclass, or lacks what `Method` declares.
    """
    if not isinstance(value, type) or not is_dataclass(value) or not value.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        raise ConfigError(f"Expected a frozen dataclass, got {shown(value)}.")
    check_members(Method, value)
    if not isinstance(value.recipe, Recipe):  # type: ignore[attr-defined]
        raise ConfigError(f"Expected `recipe` to be a `Recipe`, got {shown(value.recipe)}.")  # type: ignore[attr-defined]
    return value


METHODS: Table[type[Any]] = Table(
    "method",
    "samtune.methods",
    (
        PTSAM,
        PTSAMEncoder,
        DecoderOnly,
        LoRA,
        ConvLoRA,
        VPT,
        Adapter,
        BitFit,
        SSF,
        SAMAdapter,
        TSSAM,
        LST,
        Full,
        Scratch,
        LinearProbe,
    ),
    _as_method,
)
"""Class of each method, by its name on the command line; installed packages add more."""


@runtime_checkable
class WithEarlierForm(Protocol):
    """A method with fields that specialists of earlier versions do not have."""

    earlier: ClassVar[dict[str, Any]]
    """Values of these fields with which the method is that of the earlier versions."""


@runtime_checkable
class WithRemovedFields(Protocol):
    """A method that had more fields in earlier versions, which cards and configs on disk may still contain."""

    removed: ClassVar[dict[str, Any]]
    """Former defaults of these fields, the only values that are still accepted."""


def stored_method(name: str, stored: dict[str, Any]) -> Method:
    """Build the method of a specialist on disk, also if an earlier version of samtune wrote it.

    Args:
        name: a key of `METHODS`.
        stored: the fields in the card. A missing field has its `earlier` value, not today's default.

    Raises:
        ConfigError: as for `make_method`; for a method that is not installed, it names the group of entry points.
    """
    if name not in METHODS:
        near = did_you_mean(name, METHODS) or f"; {METHODS.absence(name)}"
        raise ConfigError(f"Expected a method of {', '.join(METHODS)}, got {shown(name)}{near}.")
    cls = METHODS[name]
    earlier: dict[str, Any] = cls.earlier if isinstance(cls, WithEarlierForm) else {}
    return make_method(name, **(earlier | stored))


def find_method(name: str) -> type[Any]:
    """Return the class of a method.

    Args:
        name: a key of `METHODS`.

    Raises:
        ConfigError: the name is unknown; the nearest one is named.
    """
    reason = ""
    if isinstance(name, str):
        if name in METHODS:
            return METHODS[name]
        refused = METHODS.refused(name)
        reason = f"; {refused}" if refused else did_you_mean(name, METHODS)
    raise ConfigError(f"Expected a method of {', '.join(METHODS)}, got {shown(name)}{reason}.")


def make_method(name: str, /, **values: Any) -> Method:
    """Build a method from its name and hyper-parameters.

    Args:
        name: a key of `METHODS`.
        values: hyper-parameters by the method's field names, as Python or JSON values.

    Raises:
        ConfigError: the name or a hyper-parameter is unknown (the nearest one is named), a value has the wrong type,
            or a field of an earlier version has another value than its default.
    """
    cls = find_method(name)
    hints = typing.get_type_hints(cls)
    known = {field.name: hints[field.name] for field in fields(cls)}
    removed: dict[str, Any] = cls.removed if isinstance(cls, WithRemovedFields) else {}
    checked = {}
    for key, value in values.items():
        if key in removed:
            if type(value) is not type(removed[key]) or value != removed[key]:
                raise ConfigError(
                    f"Expected `{name}.{key}`, which is no longer a hyper-parameter, to be {removed[key]!r}, got "
                    f"{shown(value)}; leave it out and train again, or use the version of samtune that wrote it."
                )
            continue
        if key not in known:
            offered = ", ".join(known) or "none at all"
            near = did_you_mean(key, known)
            raise ConfigError(f"Expected a hyper-parameter of {name} ({offered}), got {shown(key)}{near}.")
        checked[key] = _typed(f"{name}.{key}", value, known[key])
    method: Method = cls(**checked)
    return method


def method_fields(method: Method) -> dict[str, Any]:
    """Return the hyper-parameters of a method as JSON values."""
    values = {field.name: getattr(method, field.name) for field in fields(method)}  # type: ignore[arg-type]
    return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}


def _typed(where: str, value: Any, hint: Any) -> Any:
    """Convert a hyper-parameter to the type of its field; a single word is converted to a tuple of one."""
    if typing.get_origin(hint) is tuple and isinstance(value, str):
        value = [value]
    try:
        checked = conform(value, hint)
    except UnfitError as error:
        raise ConfigError(f"Expected `{where}` {error}, got {shown(value)}.") from error
    if isinstance(checked, int) and checked > MAX_FIELD:
        raise ConfigError(f"Expected `{where}` <= {MAX_FIELD}, got {shown(checked)}.")
    return checked
