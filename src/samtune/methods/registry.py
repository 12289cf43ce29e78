"""The table of methods: the one place besides a method's own file that knows its name."""

from __future__ import annotations

import types
import typing
from dataclasses import fields
from typing import Any, ClassVar, Protocol, runtime_checkable

from samtune.errors import ConfigError
from samtune.methods.adapter import Adapter
from samtune.methods.bitfit import BitFit
from samtune.methods.conv_lora import ConvLoRA
from samtune.methods.core import Method
from samtune.methods.decoder_only import DecoderOnly
from samtune.methods.full import Full, Scratch
from samtune.methods.lora import LoRA
from samtune.methods.lst import LST
from samtune.methods.probe import LinearProbe
from samtune.methods.ptsam import PTSAM
from samtune.methods.ptsam_encoder import PTSAMEncoder
from samtune.methods.sam_adapter import SAMAdapter
from samtune.methods.ssf import SSF
from samtune.methods.ts_sam import TSSAM
from samtune.methods.vpt import VPT
from samtune.spelling import did_you_mean

METHODS: dict[str, type[Any]] = {
    cls.name: cls
    for cls in (
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
    )
}
"""Every method by the word of the command line."""


@runtime_checkable
class WithEarlierForm(Protocol):
    """A method that has fields which specialists written by earlier versions do not name."""

    earlier: ClassVar[dict[str, Any]]
    """What those fields were, in effect, when there was no such field."""


def stored_method(name: str, stored: dict[str, Any]) -> Method:
    """Build the method of a specialist on disk, whatever version wrote it.

    Args:
        name: a key of `METHODS`.
        stored: the fields in the card. Where one is missing, it is what it was when the card was written, not today's
            default.

    Raises:
        ConfigError: as `make_method`.
    """
    cls = METHODS.get(name)
    earlier: dict[str, Any] = cls.earlier if isinstance(cls, WithEarlierForm) else {}
    return make_method(name, **(earlier | stored))


def make_method(name: str, **values: Any) -> Method:
    """Build a method from its name and hyper-parameters.

    Args:
        name: a key of `METHODS`.
        values: hyper-parameters by the method's field names, as Python or JSON values.

    Raises:
        ConfigError: the name or a hyper-parameter is unknown (the nearest one is named), or a value has the
            wrong type.
    """
    if name not in METHODS:
        near = did_you_mean(name, METHODS)
        raise ConfigError(f"The method must be one of {', '.join(METHODS)}, but {name!r} came{near}.")
    cls = METHODS[name]
    hints = typing.get_type_hints(cls)
    known = {field.name: hints[field.name] for field in fields(cls)}
    checked = {}
    for key, value in values.items():
        if key not in known:
            offered = ", ".join(known) or "none at all"
            near = did_you_mean(key, known)
            raise ConfigError(f"The hyper-parameters of {name} are {offered}, but {key!r} came{near}.")
        checked[key] = _typed(f"{name}.{key}", value, known[key])
    method: Method = cls(**checked)
    return method


def method_fields(method: Method) -> dict[str, Any]:
    """The hyper-parameters of a method as JSON values."""
    values = {field.name: getattr(method, field.name) for field in fields(method)}  # type: ignore[arg-type]
    return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}


def _typed(where: str, value: Any, wanted: Any) -> Any:
    """`value` as the type the field declares; whole numbers pass for floats, lists for tuples of words."""
    origin = typing.get_origin(wanted)
    if origin is typing.Literal:
        if any(value == arm and type(value) is type(arm) for arm in typing.get_args(wanted)):
            return value
        raise ConfigError(f"{where} must be one of {', '.join(map(str, typing.get_args(wanted)))}, but {value!r} came.")
    if origin is tuple:
        words = [value] if isinstance(value, str) else value
        if isinstance(words, list | tuple) and all(isinstance(word, str) for word in words):
            return tuple(words)
        raise ConfigError(f"{where} must be a list of words, but {value!r} came.")
    if origin in (typing.Union, types.UnionType):
        if value is None:
            return None
        wanted = next(arm for arm in typing.get_args(wanted) if arm is not type(None))
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is wanted:
        return value
    raise ConfigError(f"{where} must be of type {wanted.__name__}, but {value!r} came.")
