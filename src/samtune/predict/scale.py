"""What an evaluation may be asked, and what must be told of the values it could not give."""

from __future__ import annotations

from typing import TYPE_CHECKING

from samtune.errors import ConfigError

if TYPE_CHECKING:
    from samtune.metrics import EvaluationProtocol
    from samtune.metrics.measures import Row


def check_scale(protocol: EvaluationProtocol, at: int | None, spacing: float | None) -> None:
    """Refuse a size or a spacing that is out of range or without effect.

    Raises:
        ConfigError: with what must be.
    """
    if at is not None and not 16 <= at <= 8192:
        raise ConfigError(f"--at must be a side of 16 to 8192 pixels, but {at} came.")
    if spacing is None:
        return
    if not 0 < spacing < float("inf"):
        raise ConfigError(f"--spacing must be the side of a pixel, above 0, but {spacing} came.")
    if "contour" not in protocol.groups or at is not None:
        raise ConfigError(
            "--spacing is for distances at the images' own size, so it needs the protocol microscopy and no --at, but "
            f"{protocol.name}{'' if at is None else f' at {at}'} came; leave it out."
        )


def undefined_notes(more: Row) -> list[str]:
    """A sentence for each measure that left images out, or judged images without foreground."""
    said = {
        "num_without_foreground": "images have no foreground: weighted F and F are 0 there by definition",
        "ber_num_undefined": "images lack shadow or other pixels: they are not in the mean BER per image",
        "hd95_num_undefined": "images have the class in the mask or the prediction only: they are not in the mean HD95",
        "seg_num_undefined": "images have no object: they are not in the mean SEG",
    }
    return [f"{int(more[key] or 0)} {words} (specialist)." for key, words in said.items() if more.get(key)]
