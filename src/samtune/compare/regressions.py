"""Test images on which the method to keep is worse than what it is meant to beat: stock SAM, or the probe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from samtune.compare.settings import PROBE, STOCK
from samtune.metrics import find_protocol
from samtune.predict.regressions import Regression, find_regressions

if TYPE_CHECKING:
    from samtune.compare.results import Results

MOST = 10
"""Images that are listed."""


def worse_images(results: Results, keep: str, shots: int) -> tuple[tuple[Regression, ...], str]:
    """The images, each with the baseline that is furthest ahead on it, and a sentence on how many there are.

    Args:
        results: of the comparison.
        keep: the row to keep.
        shots: labelled images.

    Returns:
        The largest loss first, `MOST` at most; values are means over the seeds that both rows finished. The sentence
        is "" where there is nothing to compare with.
    """
    protocol = find_protocol("default")
    found: dict[str, Regression] = {}
    judged = []
    for row in (STOCK, PROBE):
        mine, theirs = (set(results.done(name, shots)) for name in (keep, row))
        common = sorted(mine if row == STOCK else mine & theirs)
        if row == keep or not (common and theirs):
            continue
        judged.append(row)
        values: dict[str, dict[str, dict[str, float | None]]] = {
            name: {
                stem: {protocol.judge: float(value)}
                for stem, value in zip(results.stems, results.table(name, shots, common).mean(0), strict=True)
            }
            for name in (keep, row)
        }
        for one in find_regressions(values, protocol, keep):
            if one.name not in found or one.loss > found[one.name].loss:
                found[one.name] = one
    if not judged:
        return (), ""
    worst = tuple(sorted(found.values(), key=lambda one: (-one.loss, one.name)))[:MOST]
    what = " or ".join({STOCK: "stock SAM", PROBE: "the probe"}[row] for row in judged)
    if not worst:
        return (
            (),
            f"With {shots} labelled images {keep} is worse than {what} on none of the test images.",
        )
    listed = f"; the {MOST} worst" if len(found) > MOST else ""
    return worst, (
        f"With {shots} labelled images {keep} is worse than {what} on {len(found)} of {len(results.stems)} test images "
        f"(means over draws){listed}:"
    )
