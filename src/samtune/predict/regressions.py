"""Images on which tuning hurt: a baseline did better than the specialist."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from samtune.metrics import EvaluationProtocol


@dataclass(frozen=True)
class Regression:
    """One image, one baseline that did better on it.

    Attributes:
        name: of the image.
        baseline: the row that did better.
        measure: by which value of the image.
        specialist: the specialist's value.
        value: the baseline's.
        loss: how much worse the specialist is, above 0 whichever way the measure goes.
    """

    name: str
    baseline: str
    measure: str
    specialist: float
    value: float
    loss: float


def find_regressions(
    values: dict[str, dict[str, dict[str, float | None]]], protocol: EvaluationProtocol, specialist: str
) -> tuple[Regression, ...]:
    """The images on which a baseline did better, by the measure that the protocol judges images with.

    Images where the measure is not defined for either are not judged.

    Args:
        values: row -> image name -> key -> value.
        protocol: says which key, and whether less is better.
        specialist: the row that should be best.

    Returns:
        The largest loss first, ties by name.
    """
    found = []
    for baseline, images in values.items():
        for name, theirs in images.items() if baseline != specialist else ():
            ours, other = values[specialist][name].get(protocol.judge), theirs.get(protocol.judge)
            if ours is None or other is None:
                continue
            loss = ours - other if protocol.less_is_better else other - ours
            if loss > 0:
                found.append(Regression(name, baseline, protocol.judge, ours, other, loss))
    return tuple(sorted(found, key=lambda regression: (-regression.loss, regression.name, regression.baseline)))
