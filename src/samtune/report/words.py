"""Numbers as words: the verdict on a tuning run, and how values are written on the page."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Row = Mapping[str, Any]
    PerImage = Mapping[str, Mapping[str, float]]

SPECIALIST, STOCK, PROBE = "specialist", "stock_sam", "probe"

ROW_LABELS = {
    SPECIALIST: ("Specialist", "this model"),
    STOCK: ("Stock SAM", "the same base, untouched"),
    PROBE: ("Probe", "logistic regression on the frozen features"),
}
"""What the rows of an evaluation are called on the page, and what they are."""

SAME = 0.005
"""Two IoUs closer than this are called equal."""


def row_label(name: str) -> str:
    """Return the name of a row as a reader sees it; an unknown row keeps its own name."""
    return ROW_LABELS.get(name, (name, ""))[0]


def decimals(value: float | None, digits: int = 3) -> str:
    """Write a score with fixed digits; absent (None or NaN) is an en dash."""
    return "\N{EN DASH}" if value is None or math.isnan(value) else f"{value:.{digits}f}"


def plain(value: object) -> str:
    """Write a fact: integers with thousands separators, floats with four significant digits, others as is."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "\N{EN DASH}"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def duration(time_s: float) -> str:
    """Write a time in the two units that fit: `0.4 s`, `48 s`, `2 min 5 s`, `3 h 20 min`."""
    if time_s < 9.95:
        return f"{time_s:.1f} s"
    whole = round(time_s)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    minutes = round(time_s / 60)
    return f"{minutes // 60:,} h {minutes % 60} min"


def signed(value: float | None, digits: int = 3) -> str:
    """Write a difference of scores with its sign; absent or infinite is an en dash, a rounded 0 has no sign."""
    if value is None or not math.isfinite(value):
        return "\N{EN DASH}"
    text = f"{abs(value):.{digits}f}"
    return text if float(text) == 0 else ("+" if value > 0 else "\N{MINUS SIGN}") + text


def size(num_bytes: int | None) -> str:
    """Write an amount of memory: `512 MB`, `3.4 GB`."""
    if num_bytes is None:
        return "\N{EN DASH}"
    return f"{num_bytes / 1e6:,.0f} MB" if num_bytes < 1e9 else f"{num_bytes / 1e9:,.1f} GB"


def verdict(rows: Mapping[str, Row], per_image: PerImage | None = None) -> tuple[str, ...]:
    """Say in sentences whether tuning paid: the specialist against stock SAM and against the probe.

    A gain counts as sure where it is larger than twice its standard error: over the paired differences of the
    images where `per_image` has them, else from the two standard deviations as if the images were not the
    same.

    Args:
        rows: row name -> scores as `metrics.Scores.to_dict()` gives them.
        per_image: row name -> image name -> IoU.

    Returns:
        Sentences, the most important first; none without a scored row "specialist".
    """
    mine = rows.get(SPECIALIST)
    if mine is None or mine.get("iou_per_image") is None:
        return ()
    sentences = []
    stock, probe = rows.get(STOCK), rows.get(PROBE)
    if stock is not None and stock.get("iou_per_image") is not None:
        sentences += _against_stock(mine, stock, per_image or {})
    else:
        images = _images(mine["num_images"])
        sentences.append(f"The specialist reaches an IoU of {_two(mine)} per image on {images}.")
    if probe is not None and probe.get("iou_per_image") is not None:
        sentences.append(_against_probe(mine, probe))
    if mine["num_images"] < 10:
        sentences.append(f"These are only {_images(mine['num_images'])}: expect other images to differ.")
    return tuple(sentences)


def paired(per_image: PerImage, first: str, second: str) -> dict[str, float]:
    """Return image name -> IoU of row `first` minus IoU of row `second`, over the images both have."""
    one, two = per_image.get(first, {}), per_image.get(second, {})
    return {name: one[name] - two[name] for name in one if name in two}


def _against_stock(mine: Row, stock: Row, per_image: PerImage) -> list[str]:
    gain = mine["iou_per_image"] - stock["iou_per_image"]
    differences = list(paired(per_image, SPECIALIST, STOCK).values())
    numbers = f"an IoU of {_two(mine)} per image, against {_two(stock)} for stock SAM, on "
    numbers += _images(mine["num_images"])
    if abs(gain) <= SAME:
        first = f"Tuning changed nothing: the specialist reaches {numbers}."
    elif gain < 0:
        first = f"Tuning did not pay: the specialist reaches {numbers}. Keep stock SAM."
    elif gain > 2 * _standard_error(mine, stock, differences):
        first = f"Tuning paid: the specialist reaches {numbers}."
    else:
        first = (
            f"Tuning may have paid: the specialist reaches {numbers}, "
            "a gain that so few or so different images cannot make sure."
        )
    if not differences:
        return [first]
    better = sum(value > SAME for value in differences)
    worse = sum(value < -SAME for value in differences)
    return [first, f"It is better on {better} of {_images(len(differences))} and worse on {worse}."]


def _against_probe(mine: Row, probe: Row) -> str:
    gain = mine["iou_per_image"] - probe["iou_per_image"]
    what = "a logistic regression on the frozen features"
    if gain > SAME:
        return f"The probe, {what}, reaches {_two(probe)}: the method adds {gain:.2f} to that floor."
    return (
        f"The probe, {what}, reaches {_two(probe)}, no less: the method has not yet learned more than the "
        "features already show. Train longer, try another method, or look at the annotation."
    )


def _standard_error(mine: Row, stock: Row, differences: Sequence[float]) -> float:
    """Return the standard error of the gain in IoU; infinite for a single image."""
    num = len(differences)
    if num > 1:
        mean = math.fsum(differences) / num
        return math.sqrt(math.fsum((value - mean) ** 2 for value in differences) / (num - 1) / num)
    num = mine["num_images"]
    spread = (mine.get("iou_per_image_std") or 0.0) ** 2 + (stock.get("iou_per_image_std") or 0.0) ** 2
    return math.sqrt(spread / (num - 1)) if num > 1 else math.inf


def _two(row: Row) -> str:
    return decimals(row["iou_per_image"], 2)


def _images(num: int) -> str:
    return "1 image" if num == 1 else f"{num:,} images"
