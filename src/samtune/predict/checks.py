"""Checks of an evaluation's settings and classes, and notes on values that are undefined."""

from __future__ import annotations

from typing import TYPE_CHECKING

from samtune.errors import ConfigError, DataError

if TYPE_CHECKING:
    from samtune.adapters import AdapterCard
    from samtune.data import Dataset
    from samtune.metrics import EvaluationProtocol
    from samtune.metrics.measures import Row


def check_scale(protocol: EvaluationProtocol, at: int | None, spacing: float | None) -> None:
    """Check the size to score at, and the spacing of pixels.

    Raises:
        ConfigError: a value is out of range or would have no effect.
    """
    if at is not None and not 16 <= at <= 8192:
        raise ConfigError(f"Expected --at from 16 to 8192 pixels, got {at}.")
    if spacing is None:
        return
    if not 0 < spacing < float("inf"):
        raise ConfigError(f"Expected --spacing > 0, the side of a pixel, got {spacing}.")
    if "contour" not in protocol.groups or at is not None:
        raise ConfigError(
            "Expected the protocol microscopy and no --at with --spacing, which is for distances at the images' "
            f"original size, got {protocol.name}{'' if at is None else f' with --at {at}'}; leave --spacing out."
        )


def undefined_notes(more: Row) -> list[str]:
    """Return a sentence for each measure that is undefined on some images, or 0 by definition.

    Args:
        more: key -> value over all images, of the protocol's further measures.
    """
    reasons = {
        "num_without_foreground": "images have no foreground, where weighted F and F are 0 by definition",
        "ber_num_undefined": "images lack shadow or other pixels and are left out of the mean BER per image",
        "hd95_num_undefined": "images have the class in mask or prediction only and are left out of the mean HD95",
        "seg_num_undefined": "images have no object and are left out of the mean SEG",
    }
    return [f"{int(more[key] or 0)} {reason} (specialist)." for key, reason in reasons.items() if more.get(key)]


def compare_classes(card: AdapterCard, dataset: Dataset, path: str) -> list[str]:
    """Check that the masks have as many classes as the specialist.

    Returns:
        A sentence where the names of the classes differ, else nothing.

    Raises:
        DataError: the numbers of classes differ.
    """
    mine, theirs = list(card.class_names), list(dataset.class_names)
    if len(mine) != len(theirs):
        raise DataError(
            f"Expected masks with the {len(mine)} classes of {path} ({', '.join(mine)}), got {len(theirs)} "
            f"({', '.join(theirs)}); use masks of the same classes."
        )
    if mine == theirs:
        return []
    pairs = ", ".join(f"{a} = {b}" for a, b in zip(mine, theirs, strict=True))
    return [f"The classes have different names and were matched by their order (specialist = masks): {pairs}."]
