"""Configuration of a run: read from flat TOML, checked as dataclasses, written to the run folder.

    images = "wells/images"          one key per setting of `RunConfig`, `DataOptions` and `TrainSettings`
    masks = "wells/masks"
    method = "ptsam"
    shots = 16

    [method_fields]                  the method's own hyper-parameters
    num_tokens = 8

The command line takes precedence over the file, and the file over the defaults. Unknown keys are refused.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import tomli_w

from samtune.data.options import DataOptions
from samtune.errors import ConfigError
from samtune.files import is_partial, make_folder, write_text
from samtune.inputs import read_text
from samtune.printable import one_line, shown
from samtune.progress import say
from samtune.run_folder import CONFIG_FILE, LOCK_FILE, RunFolder
from samtune.text import did_you_mean
from samtune.training.names import settings_by_name
from samtune.training.settings import TrainSettings
from samtune.values import convert_fields


@dataclass(frozen=True)
class RunConfig:
    """Settings of a run from all sources, with defaults.

    Attributes:
        images: folder of images, or a manifest.
        masks: folder of masks, or None with a manifest.
        val_images: folder of images for validation alone.
        val_masks: their masks.
        data: options on masks.
        train: settings of training.
    """

    images: str
    masks: str | None = None
    val_images: str | None = None
    val_masks: str | None = None
    data: DataOptions = field(default_factory=DataOptions)
    train: TrainSettings = field(default_factory=TrainSettings)

    def __post_init__(self) -> None:
        """Check the types of the fields."""
        wrong = convert_fields(self, {})
        if wrong:
            raise ConfigError("; ".join(wrong) + ".")


_OWN = tuple(f.name for f in fields(RunConfig) if f.name not in ("data", "train"))
_DATA = tuple(f.name for f in fields(DataOptions))
_TRAIN = tuple(f.name for f in fields(TrainSettings))
SETTINGS = (*_OWN, *_DATA, *_TRAIN)
"""Names of all settings of a run."""

MAX_REASON = 200
"""Largest length of a parser's message."""

MAX_NAMED = 10
"""Number of unknown settings that a message names."""


def read_config(file: Path) -> dict[str, Any]:
    """Read a configuration file as flat values.

    Raises:
        ConfigError: the file is missing, is not TOML, or has unknown keys.
    """
    values = parse_toml(read_text(file, ConfigError, bytes_as_names=True), one_line(str(file)))
    values = settings_by_name(values, SETTINGS)
    _refuse_unknown(values, one_line(str(file)))
    return values


def parse_toml(text: str, where: str) -> dict[str, Any]:
    """Parse TOML.

    Args:
        text: content of a file or of an option.
        where: origin of the text, for messages.

    Raises:
        ConfigError: the text is not TOML, is nested too deep, or has a number with more digits than Python reads.
    """
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ConfigError(f"Expected TOML in {where}, got brackets nested too deep.") from error
    except ValueError as error:  # TOMLDecodeError, and what Python's own parsing of numbers and dates raises
        raise ConfigError(f"Expected TOML in {where}: {one_line(str(error))[:MAX_REASON]}.") from error


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
        raise ConfigError("Expected `images` in the settings, a folder or a manifest, got none.")
    return RunConfig(
        **{key: merged[key] for key in _OWN if key in merged},
        data=DataOptions(**{key: merged[key] for key in _DATA if key in merged}),
        train=TrainSettings(**{key: merged[key] for key in _TRAIN if key in merged}),
    )


def config_text(config: RunConfig) -> str:
    """Return the configuration as TOML, every setting that is not None."""
    flat = {key: getattr(config, key) for key in _OWN}
    flat |= {key: getattr(config.data, key) for key in _DATA}
    flat |= {key: getattr(config.train, key) for key in _TRAIN}
    return tomli_w.dumps(_without_none(flat))


def claim_run(run: Path, config: RunConfig, *, resume: bool, page: bool = False) -> bool:
    """Claim a folder for a run and write its configuration.

    A run of the same settings that was cut off, by a full disk or a kill, is continued; one that Ctrl-C interrupted is
    continued only with `resume`.

    Args:
        run: run folder; created if missing.
        config: configuration of the run.
        resume: continue the run in the folder.
        page: whether a run without its page counts as cut off.

    Returns:
        Whether there is a run to continue.

    Raises:
        ConfigError: the folder holds files and `resume` is False, there is no run to resume, or its settings differ.
    """
    file = RunFolder(run).config
    text = config_text(config)
    if resume:
        if not file.is_file():
            raise ConfigError(f"Expected a run to resume in {run}, got a folder without {CONFIG_FILE}.")
        differing = _differences(read_config(file), parse_toml(text, "these settings"))
        if differing:
            raise ConfigError(f"Expected the settings of the run in {run} with --resume, got others: {differing}.")
        return True
    if is_cut_off(run, config, page=page):
        say(f"Continuing the run in {run}, which was cut off.")
        return True
    # A run killed at its start leaves a lock and a partial file.
    if run.is_dir() and any(entry.name != LOCK_FILE and not is_partial(entry.name) for entry in run.iterdir()):
        raise ConfigError(
            f"Expected a new or empty run folder, got {run} with files in it; choose another --out, or pass --resume "
            "to continue the run in it."
        )
    make_folder(run)
    write_text(file, text, bytes_as_names=True)
    return False


def is_cut_off(run: Path, config: RunConfig, *, page: bool = False) -> bool:
    """Return whether a folder holds an unfinished run of the same settings, or with `page` one without its page."""
    folder = RunFolder(run)
    file = folder.config
    if not file.is_file():
        return False
    if folder.metrics.exists() and (
        not page or folder.report.exists() or folder.read_metrics()["stopped"] == "interrupted"
    ):
        return False
    return not _differences(read_config(file), parse_toml(config_text(config), "these settings"))


def _refuse_unknown(values: dict[str, Any], where: str) -> None:
    wrong = []
    for key in values:
        if key not in SETTINGS:
            wrong.append(f"{shown(key)}{did_you_mean(str(key), SETTINGS)}")
    if wrong:
        more = f" and {len(wrong) - MAX_NAMED} more" if len(wrong) > MAX_NAMED else ""
        raise ConfigError(f"Expected known settings in {where}, got {', '.join(wrong[:MAX_NAMED])}{more}.")


def _differences(old: dict[str, Any], new: dict[str, Any]) -> str:
    keys = [key for key in sorted(old.keys() | new.keys()) if repr(old.get(key)) != repr(new.get(key))]  # NaN is itself
    return "; ".join(f"{key} was {shown(old.get(key))} and is {shown(new.get(key))}" for key in keys)


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings without None and empty tables, which TOML cannot hold."""
    kept = {key: dict(value) if isinstance(value, Mapping) else value for key, value in values.items()}
    kept = {key: _without_none(value) if isinstance(value, dict) else value for key, value in kept.items()}
    return {key: value for key, value in kept.items() if value is not None and value != {}}
