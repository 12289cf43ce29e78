"""What is known of a specialist beside its tensors: `adapter_config.json`, and the model card for people.

Two files of the specialist's folder. Reading is strict: an unknown or a missing key, or another format
version, is refused.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samtune.data.symmetries import IN_WORDS, SYMMETRIES
from samtune.errors import WeightsError
from samtune.files import write_text

if TYPE_CHECKING:
    from samtune.types import Averaging

FORMAT_VERSION = 1
CONFIG_FILE = "adapter_config.json"
TENSOR_FILE = "adapter_model.safetensors"
CARD_FILE = "README.md"


@dataclass(frozen=True)
class AdapterCard:
    """Everything a specialist must know of itself to be loaded and trusted.

    Attributes:
        method: key of the method.
        fields: the method's hyper-parameters.
        base: name of the base as it was given.
        base_sha256: digest of the base's weights.
        class_names: K names, the background not counted.
        side: image size in pixels.
        pixel_mean: subtracted per RGB channel, in units of 0..255.
        pixel_std: divides per RGB channel, in units of 0..255.
        threshold: probability from which a pixel is foreground (K = 1).
        metrics: scores on the validation part, by name; empty where there was none.
        data_fingerprint: digest of the images and masks it was trained on.
        num_images: how many images it was trained on.
        samtune_version: that wrote it.
        adapter_sha256: digest of the tensor file.
        format_version: of this folder.
        recipe: "auto" or "paper", how it was trained.
        square: images are squashed to side x side instead of padded, as they were in training.
        tta: over which views of an image predictions are averaged where the user does not say; see `types.Averaging`.
    """

    method: str
    fields: dict[str, Any]
    base: str
    base_sha256: str
    class_names: tuple[str, ...]
    side: int
    pixel_mean: tuple[float, ...]
    pixel_std: tuple[float, ...]
    threshold: float = 0.5
    metrics: dict[str, float] = field(default_factory=dict)
    data_fingerprint: str = ""
    num_images: int = 0
    samtune_version: str = ""
    adapter_sha256: str = ""
    format_version: int = FORMAT_VERSION
    recipe: str = "auto"
    square: bool = False
    tta: Averaging = "none"


LATER_KEYS = frozenset({"recipe", "square", "tta"})
"""Keys that are younger than format version 1; a card without them has their defaults."""


def write_card(folder: Path, card: AdapterCard, num_parameters: int) -> None:
    """Write `adapter_config.json` and the model card into `folder`, each whole or not at all."""
    write_text(folder / CONFIG_FILE, json.dumps(asdict(card), indent=2, sort_keys=True) + "\n")
    write_text(folder / CARD_FILE, _model_card(card, num_parameters))


def read_card(folder: Path) -> AdapterCard:
    """Read `adapter_config.json` of a specialist.

    Raises:
        WeightsError: it is missing, broken, of another format version, or its keys are not the format's.
    """
    file = folder / CONFIG_FILE
    if not file.is_file():
        raise WeightsError(
            f"A specialist must be a run folder or its specialist/ folder with {CONFIG_FILE}, but there is "
            f"none in "
            f"{folder}; check the path, or train first."
        )
    try:
        values = json.loads(file.read_text())
        version = values["format_version"]
    except (ValueError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise WeightsError(
            f"{file} must be the JSON that samtune wrote, but it is broken ({error}); copy it again."
        ) from error
    if version != FORMAT_VERSION:
        raise WeightsError(
            f"{file} must have format version {FORMAT_VERSION}, but it has {version}; "
            "use the samtune that wrote it or train again."
        )
    known = {f.name for f in fields(AdapterCard)}
    missing, extra = sorted(known - LATER_KEYS - set(values)), sorted(set(values) - known)
    if missing or extra:
        raise WeightsError(
            f"{file} must have exactly the format's keys, but missing are {missing} and unknown are {extra}."
        )
    if values.get("tta", "none") not in SYMMETRIES:
        raise WeightsError(
            f"{file} must name {', '.join(SYMMETRIES)} as tta, but {values['tta']!r} came; copy it again."
        )
    for key in ("class_names", "pixel_mean", "pixel_std"):
        values[key] = tuple(values[key])
    return AdapterCard(**values)


def _model_card(card: AdapterCard, num_parameters: int) -> str:
    """The README of a specialist, with the metadata block that model hubs read."""
    licence, sentence = _licence(card.base)
    scores = [f"- {name}: {value:.4f}" for name, value in sorted(card.metrics.items())]
    averaged = "" if card.tta == "none" else f" It predicts the mean over {IN_WORDS[card.tta]} (`--tta none`: one)."
    return "\n".join(
        [
            "---",
            "library_name: samtune",
            "pipeline_tag: image-segmentation",
            f"base_model: {card.base}",
            "base_model_relation: adapter",
            f"license: {licence}",
            f"tags: [segment-anything, {card.method}]",
            "---",
            "",
            f"# A {card.method} specialist for {', '.join(card.class_names)}",
            "",
            f"{num_parameters:,} trained parameters on `{card.base}` (weights sha256 "
            f"`{card.base_sha256[:16]}...`), learned from "
            f"{card.num_images} annotated images {'squashed to' if card.square else 'at'} {card.side} pixels with the "
            f"recipe {card.recipe} of samtune {card.samtune_version}.{averaged}",
            "",
            "```python",
            "from samtune import Specialist",
            'masks = Specialist.load("THIS_FOLDER").predict(["image.png"])',
            "```",
            "",
            "## Scores on the validation images",
            "",
            *(scores or ["No validation images were kept aside."]),
            "",
            "They choose the best step, so they flatter; judge the specialist with `samtune evaluate` on "
            "images it never saw.",
            "",
            "## Licence",
            "",
            sentence,
            "",
        ]
    )


def _licence(base: str) -> tuple[str, str]:
    """The licence word of the base for the metadata block, and a sentence."""
    from samtune.sam import EMBEDDED, META_SIZES

    if base == EMBEDDED or base in META_SIZES:
        return "apache-2.0", (
            f"The base `{base}` is under Apache-2.0. The images it was trained on may carry terms of their own."
        )
    return "other", (
        f"samtune does not know the licence of the base `{base}`; whoever shares this adapter must find "
        f"out and say it. "
        "The images it was trained on may carry terms of their own."
    )
