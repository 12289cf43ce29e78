"""Regressions: images on which a baseline scores better than the tuned model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from samtune.metrics.rows import row_name
from samtune.text import count

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from samtune.metrics.protocols import EvaluationProtocol

    Values = Mapping[str, Mapping[str, Mapping[str, float | None]]]

MAX_LISTED = 10
"""Largest number of images that are listed for people."""


@dataclass(frozen=True)
class Regression:
    """One image and one baseline that scores better on it.

    Attributes:
        name: of the image.
        baseline: row of the baseline.
        measure: key of the score by which both are compared.
        specialist: score of the tuned model.
        value: score of the baseline.
        loss: by how much the tuned model is worse; > 0 whether more or less is better.
    """

    name: str
    baseline: str
    measure: str
    specialist: float
    value: float
    loss: float


def find_regressions(values: Values, protocol: EvaluationProtocol, specialist: str) -> tuple[Regression, ...]:
    """Return the images on which a baseline scores better, by the protocol's `judge` measure.

    Images where the measure is undefined for either row are left out.

    Args:
        values: row -> image name -> key -> value.
        protocol: defines the measure, and whether less is better.
        specialist: row of the tuned model.

    Returns:
        The largest loss first, ties by name and baseline.
    """
    regressions = []
    for baseline, images in values.items():
        for name, scores in images.items() if baseline != specialist else ():
            own, other = values[specialist][name].get(protocol.judge), scores.get(protocol.judge)
            if own is None or other is None:
                continue
            loss = own - other if protocol.less_is_better else other - own
            if loss > 0:
                regressions.append(Regression(name, baseline, protocol.judge, own, other, loss))
    return _sorted(regressions)


def worst_by_image(regressions: Iterable[Regression]) -> tuple[Regression, ...]:
    """Return one regression per image, that of its best baseline; the largest loss first."""
    by_image: dict[str, Regression] = {}
    for regression in regressions:
        largest = by_image.get(regression.name)
        if largest is None or regression.loss > largest.loss:
            by_image[regression.name] = regression
    return _sorted(by_image.values())


def regression_sentence(
    num_worse: int, num_images: int, *, model: str, baselines: Sequence[str], images: str = "image", averaged: str = ""
) -> str:
    """Return a sentence on how many images got worse; "" without baselines. It ends in a colon if a list is to follow.

    Args:
        num_worse: images on which some baseline scores better.
        num_images: images that were scored.
        model: name of the tuned model, to begin the sentence with.
        baselines: rows it is compared with.
        images: singular noun for the images, such as "test image".
        averaged: what values are means over, such as "means over draws".
    """
    if not baselines:
        return ""
    than = " or ".join(row_name(row).phrase for row in baselines)
    if not num_worse:
        return f"{model} is worse than {than} on none of the {images}s."
    among = f" ({averaged})" if averaged else ""
    listed = f"; the {MAX_LISTED} worst" if num_worse > MAX_LISTED else ""
    return f"{model} is worse than {than} on {num_worse:,} of {count(num_images, images)}{among}{listed}:"


def _sorted(regressions: Iterable[Regression]) -> tuple[Regression, ...]:
    return tuple(sorted(regressions, key=lambda each: (-each.loss, each.name, each.baseline)))
