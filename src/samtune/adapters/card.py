"""Card of a specialist: `adapter_config.json`, and the model card `README.md`.

A folder is not trusted: an unknown or a missing key, another format version, and a value of the wrong type or out of
range are errors, raised before a model is built.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, get_type_hints

from samtune.bases import MAX_IMAGE_SIZE, licence_of
from samtune.data.masks.values import MAX_VALUE, MaskValues
from samtune.data.options import MAX_CLASSES
from samtune.data.views.symmetries import IN_WORDS
from samtune.errors import WeightsError
from samtune.inputs import read_json
from samtune.outputs import OutputFolder
from samtune.printable import is_unicode, one_line, shown
from samtune.types import Averaging
from samtune.values import problems_of

FORMAT_VERSION = 1
MAX_COLOUR = 0xFFFFFF
CONFIG_FILE = "adapter_config.json"
TENSOR_FILE = "adapter_model.safetensors"
CARD_FILE = "README.md"

MAX_CONFIG_BYTES = 2**20
"""Size limit of an `adapter_config.json`; one of 254 classes with every metric has some 50 kB."""

MAX_WORD, MAX_PATH, MAX_FIELDS = 200, 4096, 100
RANGES = {"side": (1, MAX_IMAGE_SIZE), "threshold": (0, 1), "num_images": (0, 2**53), "num_maps": (1, MAX_CLASSES)}


@dataclass(frozen=True)
class AdapterCard:
    """Description of a specialist, which loading needs and checks beside the tensors.

    Attributes:
        method: key of the method.
        fields: the method's hyper-parameters.
        base: name of the base as the user gave it.
        base_sha256: digest of the base's weights.
        class_names: K names, the background not counted.
        side: image size in pixels.
        pixel_mean: subtracted per RGB channel, in units of 0..255.
        pixel_std: divides per RGB channel, in units of 0..255.
        threshold: probability above which a pixel is foreground (K = 1).
        metrics: scores on the validation part, by name; empty without a validation part.
        data_fingerprint: digest of the training images and masks.
        num_images: number of training images.
        samtune_version: version that wrote it.
        adapter_sha256: digest of the tensor file.
        format_version: of this folder.
        recipe: recipe of its training, "auto" or "paper".
        square: images are squashed to side x side instead of padded, as in training.
        tta: default test-time averaging of predictions; see `types.Averaging`.
        mask_values: values of background and classes in the training masks, with which predictions are written; empty
            for 0 and 255, or 0..K; see `data.MaskValues`.
        mask_colours: these values are 0xRRGGBB, and masks are RGB.
        task: name of the task, see `samtune.tasks`.
        num_maps: number of maps that the model gives for these classes; None for one map per class.
    """

    method: str
    fields: dict[str, Any]
    base: str
    base_sha256: str
    class_names: tuple[str, ...]
    side: int
    pixel_mean: tuple[float, float, float]
    pixel_std: tuple[float, float, float]
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
    mask_values: tuple[int, ...] = ()
    mask_colours: bool = False
    task: str = "areas"
    num_maps: int | None = None

    @property
    def maps(self) -> int:
        """Number of maps that the model gives."""
        return len(self.class_names) if self.num_maps is None else self.num_maps

    @property
    def values(self) -> MaskValues:
        """Values of background and classes in masks."""
        if self.mask_values:
            return MaskValues(self.mask_values, self.mask_colours)
        return MaskValues.default(len(self.class_names))


LATER_KEYS = frozenset({"recipe", "square", "tta", "mask_values", "mask_colours", "task", "num_maps"})
"""Keys added after format version 1; a card without them has their defaults."""


def write_card(out: OutputFolder, card: AdapterCard, num_parameters: int) -> None:
    """Write `adapter_config.json` and the model card, each whole or not at all."""
    out.write_text(CONFIG_FILE, json.dumps(asdict(card), indent=2, sort_keys=True) + "\n")
    out.write_text(CARD_FILE, _model_card(card, num_parameters))


def read_card(folder: Path) -> AdapterCard:
    """Read `adapter_config.json` of a specialist, and check every value's type and range.

    Raises:
        WeightsError: it is missing, broken, of another format version, has missing or unknown keys, or has values of
            the wrong type or out of range, all of which are named.
    """
    file = folder / CONFIG_FILE
    where = one_line(str(file))
    if not file.exists():
        raise WeightsError(
            f"No {CONFIG_FILE} in {one_line(str(folder))}; expected a run folder or its specialist/ folder; check the "
            "path, or train first."
        )
    values = read_json(file, WeightsError, limit=MAX_CONFIG_BYTES)
    version = values.get("format_version")
    if version != FORMAT_VERSION or isinstance(version, bool):
        raise WeightsError(
            f"Expected format version {FORMAT_VERSION} in {where}, got {shown(version)}; use the samtune that wrote "
            "it, or train again."
        )
    known = {f.name for f in fields(AdapterCard)}
    missing, extra = sorted(known - LATER_KEYS - set(values)), sorted(set(values) - known)
    if missing or extra:
        raise WeightsError(
            f"Expected exactly the format's keys in {where}, got missing {missing} and unknown {shown(extra)}; copy "
            "the folder again, or train again."
        )
    if isinstance(values["metrics"], dict):  # a score that is not defined is written as NaN
        values["metrics"] = {key: score for key, score in values["metrics"].items() if score == score}
    values, problems = problems_of(values, get_type_hints(AdapterCard), RANGES)
    problems = problems or _out_of_range(values)
    if problems:
        raise WeightsError(f"{'; '.join(problems)} in {where}; copy the folder again, or train again.")
    return AdapterCard(**values)


def _out_of_range(values: dict[str, Any]) -> list[str]:
    """Return a clause for each value of the right type that is out of range."""
    problems = []
    names = values["class_names"]
    if not 1 <= len(names) <= MAX_CLASSES or len(set(names)) != len(names):
        problems.append(f"Expected 1 to {MAX_CLASSES} different `class_names`, got {shown(names)}")
    if any(not name.strip() or len(name) > MAX_WORD or not is_unicode(name) for name in names):
        problems.append(f"Expected `class_names` of 1 to {MAX_WORD} characters of Unicode, got {shown(names)}")
    for key, least in (("method", 1), ("base", 1), ("data_fingerprint", 0), ("samtune_version", 0), ("task", 1)):
        if not least <= len(values.get(key, "-")) <= MAX_PATH:
            problems.append(f"Expected {least} to {MAX_PATH} characters in `{key}`, got {len(values[key])}")
    for key in ("base_sha256", "adapter_sha256"):
        if not re.fullmatch("[0-9a-f]{64}", values[key]):
            problems.append(f"Expected 64 hexadecimal digits as `{key}`, got {shown(values[key])}")
    for key, low, high in (("pixel_mean", 0, 255), ("pixel_std", 1e-3, 255)):
        if not all(low <= value <= high for value in values[key]):
            problems.append(f"Expected three numbers from {low:g} to {high} as `{key}`, got {shown(values[key])}")
    if values.get("recipe", "auto") not in ("auto", "paper"):
        problems.append(f"Expected `recipe` to be auto or paper, got {shown(values['recipe'])}")
    if len(values["fields"]) > MAX_FIELDS:
        problems.append(f"Expected at most {MAX_FIELDS} `fields`, got {len(values['fields'])}")
    return problems + _mask_value_problems(values)


def _mask_value_problems(values: dict[str, Any]) -> list[str]:
    """Return a clause if mask values are not one different number for the background and each class."""
    numbers, top = values.get("mask_values", ()), MAX_COLOUR if values.get("mask_colours") else MAX_VALUE
    if not numbers:
        return []
    num = len(values["class_names"]) + 1
    if len(numbers) != num or len(set(numbers)) != num or not all(0 <= value <= top for value in numbers):
        return [f"Expected {num} different `mask_values` in 0..{top}, the background's first, got {shown(numbers)}"]
    return []


def _model_card(card: AdapterCard, num_parameters: int) -> str:
    """Return the README of a specialist, with the metadata block that model hubs read."""
    licence, sentence = _licence(card.base)
    scores = [f"- {name}: {value:.4f}" for name, value in sorted(card.metrics.items())]
    averaged = "" if card.tta == "none" else f" It predicts the mean over {IN_WORDS[card.tta]} (`--tta none`: one)."
    return "\n".join(
        [
            "---",
            "library_name: samtune",
            "pipeline_tag: image-segmentation",
            f"base_model: {json.dumps(card.base)}",
            "base_model_relation: adapter",
            f"license: {licence}",
            f"tags: [segment-anything, {card.method}]",
            "---",
            "",
            f"# A {card.method} specialist for {one_line(', '.join(card.class_names))}",
            "",
            f"{num_parameters:,} trained parameters on `{one_line(card.base)}` (weights sha256 "
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
    """Return the licence of the base as a word for the metadata block, and as a sentence."""
    licence = licence_of(base)
    if licence is not None:
        return licence, (
            f"The base `{base}` is under {licence.capitalize()}. "
            "The images it was trained on may carry terms of their own."
        )
    return "other", (
        f"samtune does not know the licence of the base `{one_line(base)}`; find it out before you share this adapter. "
        "The images it was trained on may carry terms of their own."
    )
