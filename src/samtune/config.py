"""The settings of a run as a file: flat TOML in, checked dataclasses out, the resolved file back into the run folder.

    images = "wells/images"          one key per setting of `RunConfig`, `DataOptions` and `TrainSettings`
    masks = "wells/masks"
    method = "ptsam"
    shots = 16

    [method_fields]                  the method's own hyper-parameters
    num_tokens = 8

Order of precedence: defaults, then the file, then the command line. Unknown keys are refused with the nearest name.
"""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from samtune.data.options import DataOptions
from samtune.errors import ConfigError
from samtune.files import is_partial, write_text
from samtune.spelling import did_you_mean
from samtune.training.lock import LOCK_FILE
from samtune.training.settings import TrainSettings

CONFIG_FILE = "config.toml"


@dataclass(frozen=True)
class RunConfig:
    """Everything that a run was told, every default filled in.

    Attributes:
        images: folder of images, or a manifest.
        masks: folder of masks, or None with a manifest.
        val_images: folder of images for validation alone.
        val_masks: their masks.
        data: how masks are read.
        train: how it is trained.
    """

    images: str
    masks: str | None = None
    val_images: str | None = None
    val_masks: str | None = None
    data: DataOptions = field(default_factory=DataOptions)
    train: TrainSettings = field(default_factory=TrainSettings)


_OWN = tuple(f.name for f in fields(RunConfig) if f.name not in ("data", "train"))
_DATA = tuple(f.name for f in fields(DataOptions))
_TRAIN = tuple(f.name for f in fields(TrainSettings))


def read_config(file: Path) -> dict[str, Any]:
    """Read a configuration file as flat values.

    Raises:
        ConfigError: the file is not there, is no TOML, or has unknown keys (all are told, each with the nearest name).
    """
    try:
        values = tomllib.loads(file.read_text())
    except OSError as error:
        raise ConfigError(f"The configuration must be a file, but {file} cannot be read ({error.strerror}).") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} must be TOML, but it is not: {error}.") from error
    _refuse_unknown(values, str(file))
    return values


def make_config(*layers: dict[str, Any]) -> RunConfig:
    """Build a configuration from flat values; later layers win, None in a later layer leaves the earlier value.

    Raises:
        ConfigError: unknown keys, values of the wrong type or out of range, or no images.
    """
    merged: dict[str, Any] = {}
    for layer in layers:
        _refuse_unknown(layer, "the settings")
        merged |= {key: value for key, value in layer.items() if value is not None}
    if "images" not in merged:
        raise ConfigError("The settings must name the images, but there is no `images`; give a folder or a manifest.")
    try:
        return RunConfig(
            **{key: merged[key] for key in _OWN if key in merged},
            data=DataOptions(**{key: merged[key] for key in _DATA if key in merged}),
            train=TrainSettings(**{key: merged[key] for key in _TRAIN if key in merged}),
        )
    except TypeError as error:
        raise ConfigError(f"A setting has a value of the wrong type: {error}.") from error


def config_text(config: RunConfig) -> str:
    """The configuration as TOML, every setting that is not None."""
    flat = {key: getattr(config, key) for key in _OWN}
    flat |= {key: getattr(config.data, key) for key in _DATA}
    flat |= {key: getattr(config.train, key) for key in _TRAIN}
    plain = {key: value for key, value in flat.items() if value is not None and not isinstance(value, dict)}
    tables = {key: value for key, value in flat.items() if isinstance(value, dict) and value}
    lines = [f"{key} = {_toml(value)}" for key, value in plain.items()]
    for name, table in tables.items():
        lines += ["", f"[{name}]", *(f"{json.dumps(str(key))} = {_toml(value)}" for key, value in table.items())]
    return "\n".join(lines) + "\n"


def claim_run(run: Path, config: RunConfig, *, resume: bool) -> None:
    """Take a folder for a run and write its configuration.

    Args:
        run: the folder; made where it is not there.
        config: of the run.
        resume: the folder must hold the same run.

    Raises:
        ConfigError: the folder holds something already and `resume` is not asked for, or holds another run; the
            settings that differ are named.
    """
    file = run / CONFIG_FILE
    text = config_text(config)
    if resume:
        if not file.is_file():
            raise ConfigError(f"--resume needs a run that was started, but there is no {CONFIG_FILE} in {run}.")
        differing = _differences(read_config(file), tomllib.loads(text))
        if differing:
            raise ConfigError(f"--resume must have the settings of the run in {run}, but these differ: {differing}.")
        return
    # A lock and a partial file are all that a run has which was killed as it began.
    if run.is_dir() and any(entry.name != LOCK_FILE and not is_partial(entry.name) for entry in run.iterdir()):
        raise ConfigError(
            f"The run folder must be new or empty, but {run} holds files; choose another --out, or pass --resume to go "
            "on with the run in it."
        )
    run.mkdir(parents=True, exist_ok=True)
    write_text(file, text)


def _refuse_unknown(values: dict[str, Any], where: str) -> None:
    known = (*_OWN, *_DATA, *_TRAIN)
    wrong = []
    for key in values:
        if key not in known:
            wrong.append(f"{key!r}{did_you_mean(key, known)}")
    if wrong:
        raise ConfigError(f"{where} must hold known settings only, but {', '.join(wrong)} came.")


def _differences(old: dict[str, Any], new: dict[str, Any]) -> str:
    keys = [key for key in sorted(old.keys() | new.keys()) if _toml(old.get(key)) != _toml(new.get(key))]
    return "; ".join(f"{key} was {old.get(key)!r} and is {new.get(key)!r}" for key in keys)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return json.dumps(str(value))
