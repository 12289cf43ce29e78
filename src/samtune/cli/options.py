"""Options that several verbs share, and their conversion to values."""

from __future__ import annotations

import functools
import inspect
import math
import tomllib
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from samtune.errors import ConfigError
from samtune.printable import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from samtune.data import DataOptions
    from samtune.types import Averaging

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else there.")]
_IMAGES = typer.Argument(help="Folder of images, a CSV manifest, or a folder with images/ and masks/.")
Images = Annotated[str, _IMAGES]
ImagesOrConfig = Annotated[str | None, _IMAGES]
"""Images of a verb that may read them from a configuration file instead."""
Masks = Annotated[str | None, typer.Argument(help="Folder of masks.")]
Side = Annotated[
    int | None,
    typer.Option("--side", help="Image size in pixels, a multiple of 16. Default: the base's own."),
]
Base = Annotated[
    str | None,
    typer.Option(
        "--base",
        metavar="NAME",
        help="Base model: a hub id, a local folder, an original .pth file, or nano. Default: facebook/sam-vit-base.",
    ),
]
"""Base of a new training."""
CardBase = Annotated[
    str | None,
    typer.Option("--base", metavar="NAME", help="Base model, if not where it was: by default as the specialist says."),
]
"""Base of a specialist."""
Device = Annotated[
    str | None,
    typer.Option("--device", metavar="NAME", help="cpu, cuda or mps. Default: cuda where there is one."),
]
BatchSize = Annotated[int, typer.Option("--batch-size", min=1, help="Images that are encoded together.")]

Overwrite = Annotated[
    bool,
    typer.Option(
        "--overwrite", help="Replace files there that samtune did not write; never inputs of the same command or links."
    ),
]


class Views(StrEnum):
    """Views of an image over which a prediction is averaged; the words of `samtune.types.Averaging`."""

    none = "none"
    mirror = "mirror"
    d4 = "d4"


Averaged = Annotated[
    Views | None,
    typer.Option(
        "--tta",
        help="Average over the image and its mirror (2 times as long) or over all 8 flips and quarter turns, d4 (8 "
        "times). Default: as the specialist says.",
    ),
]
Classes = Annotated[
    str | None,
    typer.Option(
        "--classes", metavar="NAMES", help="Class names in the order of their ids, or how many: liver,tumour."
    ),
]
Colours = Annotated[
    list[str] | None,
    typer.Option(
        "--colour",
        "--colours",
        metavar="NAME=#RRGGBB",
        help="What a colour in RGB masks means; repeat, or separate by commas. Black is background.",
    ),
]
IgnoreLabel = Annotated[
    str | None,
    typer.Option("--ignore-label", metavar="VALUE", help="Value in the masks that counts nowhere: 255, -1, nan."),
]
Ids = Annotated[
    str | None,
    typer.Option("--ids", metavar="A,B,...", help="Values in the masks that are the classes, in their order."),
]
Background = Annotated[
    str | None,
    typer.Option("--background", metavar="A,B,...", help="Values in the masks that are background. Default: 0."),
]
Threshold = Annotated[
    float | None,
    typer.Option(
        "--threshold", metavar="VALUE", help="One class: where the masks' value, or alpha, is above VALUE (127)."
    ),
]
ColourTolerance = Annotated[
    int | None,
    typer.Option(
        "--colour-tolerance",
        metavar="STEPS",
        help="Steps of 0..255 that a colour may differ from the nearest --colour. Default: 16.",
    ),
]
DrawnOn = Annotated[
    str | None,
    typer.Option(
        "--drawn-on",
        metavar="shown|stored",
        help="Whether masks are drawn on images as shown, turned by EXIF, or as stored. Default: by their sizes.",
    ),
]
Instances = Annotated[
    bool | None,
    typer.Option(
        "--instances/--no-instances",
        help="Whether each id, or colour, is one object of a single class. Default: inferred.",
    ),
]


def averaging(views: Views | None) -> Averaging | None:
    """Return the value of `--tta`; None where it was not given."""
    return None if views is None else views.value


MASK_OPTIONS: dict[str, Any] = {
    "classes": Classes,
    "colour": Colours,
    "ignore_label": IgnoreLabel,
    "instances": Instances,
    "ids": Ids,
    "background": Background,
    "threshold": Threshold,
    "colour_tolerance": ColourTolerance,
    "drawn_on": DrawnOn,
}
"""Parameters of `with_mask_options` and their types."""


def with_mask_options(verb: Callable[..., None]) -> Callable[..., None]:
    """Add the options on masks to a verb.

    Args:
        verb: has a parameter `mask_values`, which receives the options that were given, as flat settings.

    Returns:
        The verb with one parameter for each option in place of `mask_values`.
    """

    @functools.wraps(verb)
    def with_options(*args: Any, **given: Any) -> None:
        options = {name: given.pop(name, None) for name in MASK_OPTIONS}
        values = data_values(
            options.pop("classes"),
            options.pop("colour"),
            options.pop("ignore_label"),
            options.pop("instances"),
            **options,
        )
        verb(*args, mask_values=values, **given)

    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(verb, eval_str=True).parameters.values():
        if parameter.name != "mask_values":
            parameters.append(parameter)
            continue
        parameters += [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
            for name, annotation in MASK_OPTIONS.items()
        ]
    with_options.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    with_options.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return with_options


def data_values(
    classes: str | None,
    colours: list[str] | None,
    ignore_label: str | None,
    instances: bool | None,
    *,
    ids: str | None = None,
    background: str | None = None,
    threshold: float | None = None,
    colour_tolerance: int | None = None,
    drawn_on: str | None = None,
) -> dict[str, Any]:
    """Return the options on masks that were given, as flat settings.

    Raises:
        ConfigError: a value is no number, or a colour is not NAME=#RRGGBB.
    """
    values: dict[str, Any] = {}
    if classes is not None and classes.strip().isdecimal():
        values["num_classes"] = _mask_value("--classes", classes)
    elif classes is not None:
        values["class_names"] = tuple(name.strip() for name in classes.split(","))
    if colours:
        pairs = [_colour(word) for given in colours for word in given.split(",")]
        values["colours"] = dict(pairs)
        if len(values["colours"]) != len(pairs):
            raise ConfigError(f"Expected each name once in --colour, got {', '.join(name for name, _ in pairs)}.")
    if ignore_label is not None:
        values["ignore_label"] = _mask_value("--ignore-label", ignore_label)
    if ids is not None:
        values["ids"] = tuple(_mask_value("--ids", word) for word in ids.split(","))
    if background is not None:
        values["background"] = tuple(_mask_value("--background", word) for word in background.split(","))
    plain = {
        "instances": instances,
        "threshold": threshold,
        "colour_tolerance": colour_tolerance,
        "drawn_on": drawn_on,
    }
    return values | {key: value for key, value in plain.items() if value is not None}


def _mask_value(option: str, word: str) -> int | float:
    """Return a value in mask files: a whole number, or nan."""
    if word.strip().lower() == "nan":
        return math.nan
    try:
        return int(word)
    except ValueError as error:
        shown = word if len(word) <= 40 else f"{word[:37]}..."
        raise ConfigError(f"Expected whole numbers (or nan) for {option}, got {shown!r}.") from error


def data_options(values: dict[str, Any]) -> DataOptions | None:
    """Return flat settings as `DataOptions`; None where nothing was given."""
    from samtune.data import DataOptions

    return DataOptions(**values) if values else None


def method_settings(given: list[str], method: Any, known: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the words of --set for the training of one method.

    Args:
        given: words such as `lr=1e-3`, `method.rank=4`, `lora.rank=4` or `rank=4`.
        method: key of the method, unless the words set it.
        known: names of settings.

    Returns:
        Settings of the run, and hyper-parameters of the method.

    Raises:
        ConfigError: a word has no `=`, a name is unknown or of another method, or the method is unknown.
    """
    from samtune.training.names import assign

    values, by_home = values_by_method(given)
    method = values.get("method", method)
    settings, fields = assign(values, by_home, [method] if given else [], known)
    for home in fields:
        if home != method:
            raise ConfigError(
                f"Expected the name of a setting, method.FIELD or {method}.FIELD for --set, got {shown(home)} before "
                "the point."
            )
    return settings, fields.get(method, {})


def values_by_method(given: list[str]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Return words such as `lora.rank=4` as values: TOML where it is TOML, else the word itself.

    Returns:
        Settings of the run, and hyper-parameters by the word before the point.

    Raises:
        ConfigError: a word has no `=`.
    """
    settings: dict[str, Any] = {}
    fields: dict[str, dict[str, Any]] = {}
    for word in given:
        key, equals, text = word.partition("=")
        key = key.strip()
        home, _, name = key.rpartition(".")
        if not equals or not name:
            raise ConfigError(f"Expected NAME=VALUE for --set, such as method.rank=4, got {shown(word)}.")
        (fields.setdefault(home, {}) if home else settings)[name] = _value(text.strip())
    return settings, fields


def _value(text: str) -> Any:
    """Return a value of --set: as TOML reads it, or the word itself where that is no TOML, as in `method=lora`."""
    try:
        values = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):  # no TOML, more digits than Python reads, brackets nested too deep
        return text
    return values["value"] if len(values) == 1 else text  # a line break in the word began another setting


def _colour(word: str) -> tuple[str, tuple[int, int, int]]:
    name, _, colour = word.strip().rpartition("=")
    digits = colour.strip().removeprefix("#")
    try:
        red, green, blue = bytes.fromhex(digits)
    except ValueError:
        red = green = blue = -1
    if not name or red < 0:
        raise ConfigError(f"Expected NAME=#RRGGBB for --colour, such as road=#804080, got {shown(word)}.")
    return name.strip(), (red, green, blue)
