"""Verdict on whether tuning paid: decided from a difference with its interval, and put into sentences.

The terminal, JSON and the pages of runs and comparisons all take their sentences from here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from samtune.metrics.differences import Difference, difference, unpaired_difference
from samtune.metrics.headline import IOU, Headline
from samtune.metrics.rows import COLOUR, PROBE, SPECIALIST, STOCK, UNET, row_name
from samtune.text import count, listing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Row = Mapping[str, Any]
    PerImage = Mapping[str, Mapping[str, float]]

SAME = 0.005
"""Largest difference of two scores that count as equal."""

FEW_IMAGES = 10
"""With fewer scored images than this, a caveat is added."""

Outcome = Literal["paid", "did not pay", "changed nothing", "uncertain"]

OPENINGS: dict[Outcome, str] = {
    "paid": "Tuning paid",
    "did not pay": "Tuning did not pay",
    "changed nothing": "Tuning changed nothing",
    "uncertain": "Tuning may or may not have paid",
}

IF_BETTER = {
    PROBE: "the frozen features alone do better than the trained model",
    COLOUR: "colour alone is enough, and no network is needed",
    UNET: "SAM's weights are no help here",
}
"""Baseline -> conclusion where it is better."""

IF_SAME = {
    PROBE: "there is no evidence that training learned anything beyond the frozen features",
    COLOUR: "there is no evidence that a network is needed",
    UNET: "there is no evidence that SAM's weights help",
}
"""Baseline -> conclusion where the two are not distinguishable."""


@dataclass(frozen=True)
class Baseline:
    """Scores of a baseline that the tuned model should beat.

    Attributes:
        row: key of the baseline.
        score: its mean headline metric per image.
        difference: metric of the tuned model minus that of the baseline.
    """

    row: str
    score: float
    difference: Difference


def outcome_of(gain: Difference) -> Outcome:
    """Return whether tuning paid.

    Args:
        gain: metric of the tuned model minus that of stock SAM.
    """
    if abs(gain.mean) <= SAME:
        return "changed nothing"
    return {"better": "paid", "worse": "did not pay"}.get(gain.verdict, "uncertain")  # type: ignore[return-value]


def tuning_sentence(
    model: str, score: float, stock_score: float, gain: Difference, num_images: int, metric: Headline = IOU
) -> str:
    """Return a sentence on whether tuning paid, with the numbers.

    Args:
        model: name of the tuned model within a sentence.
        score: its mean metric per image.
        stock_score: that of stock SAM.
        gain: `score` minus `stock_score`, with its interval.
        num_images: images that were scored.
        metric: of the task.
    """
    outcome = outcome_of(gain)
    advice = " Keep stock SAM." if outcome == "did not pay" else ""
    return (
        f"{OPENINGS[outcome]}: {model} reaches an {metric.label} of {score:.3f} per image, against {stock_score:.3f} "
        f"for {row_name(STOCK).phrase}, on {count(num_images, 'image')}; the difference is {gain}.{advice}"
    )


def baseline_sentences(model: str, baselines: Sequence[Baseline]) -> list[str]:
    """Return sentences on the baselines that the tuned model beats, and on the conclusion where it does not.

    Args:
        model: name of the tuned model within a sentence.
        baselines: the baselines.
    """
    beaten = [f"{row_name(each.row).phrase} ({each.score:.3f})" for each in baselines if _is_beaten(each)]
    sentences = [f"It is above {listing(beaten)}."] if beaten else []
    for baseline in baselines:
        if _is_beaten(baseline):
            continue
        name, better = row_name(baseline.row).phrase, baseline.difference.verdict == "worse"
        how = "is better" if better else "is not distinguishable from it"
        meaning = (IF_BETTER if better else IF_SAME)[baseline.row]
        sentences.append(
            f"{name[0].upper()}{name[1:]} ({baseline.score:.3f}) {how}; {model} differs from it by "
            f"{baseline.difference}: {meaning}."
        )
    return sentences


def few_images_sentences(num_images: int) -> list[str]:
    """Return a caveat where fewer than `FEW_IMAGES` images were scored, else nothing."""
    if num_images >= FEW_IMAGES:
        return []
    return [f"The scores are of only {count(num_images, 'image')}: expect other images to differ."]


def run_verdict(rows: Mapping[str, Row], per_image: PerImage | None = None, metric: Headline = IOU) -> tuple[str, ...]:
    """Return sentences on whether tuning paid in one run, by the specialist against stock SAM and the probe.

    Args:
        rows: row -> scores as `Scores.to_dict()` gives them.
        metric: of the task.
        per_image: row -> image name -> metric. Rows that share images are compared image by image; others by their
            standard deviations, as if the rows had been scored on different images.

    Returns:
        The most important sentence first; empty without a scored specialist.
    """
    scored = {row: values for row, values in rows.items() if values.get(metric.key) is not None}
    if SPECIALIST not in scored:
        return ()
    own, model = scored[SPECIALIST], row_name(SPECIALIST).phrase
    score, num_images = own[metric.key], own["num_images"]
    if STOCK in scored:
        gain = _difference(scored, per_image or {}, STOCK, metric)
        sentences = [tuning_sentence(model, score, scored[STOCK][metric.key], gain, num_images, metric)]
        sentences += _images_won(per_image or {})
    else:
        scored_on = count(num_images, "image")
        sentences = [f"The specialist reaches an {metric.label} of {score:.3f} per image on {scored_on}."]
    if PROBE in scored:
        probe = Baseline(PROBE, scored[PROBE][metric.key], _difference(scored, per_image or {}, PROBE, metric))
        sentences += baseline_sentences(model, [probe])
        if not _is_beaten(probe):
            sentences.append("Train longer, try another method, or check the annotation.")
    return (*sentences, *few_images_sentences(num_images))


def _is_beaten(baseline: Baseline) -> bool:
    return baseline.difference.verdict == "better"


def _difference(rows: Mapping[str, Row], per_image: PerImage, baseline: str, metric: Headline) -> Difference:
    """Return the specialist's metric minus a baseline's."""
    pairs = _pairs(per_image, baseline)
    if pairs:
        mine, theirs = np.array(pairs, dtype=np.float64).T
        return difference(mine[None], theirs[None])
    first, second = rows[SPECIALIST], rows[baseline]
    return unpaired_difference(
        (first[metric.key], first.get(f"{metric.key}_std") or 0.0),
        (second[metric.key], second.get(f"{metric.key}_std") or 0.0),
        first["num_images"],
    )


def _images_won(per_image: PerImage) -> list[str]:
    """Return a sentence on how many images the specialist is better and worse on than stock SAM; none without pairs."""
    pairs = _pairs(per_image, STOCK)
    if not pairs:
        return []
    better = sum(mine - theirs > SAME for mine, theirs in pairs)
    worse = sum(mine - theirs < -SAME for mine, theirs in pairs)
    return [f"It is better on {better} of {count(len(pairs), 'image')} and worse on {worse}."]


def _pairs(per_image: PerImage, baseline: str) -> list[tuple[float, float]]:
    """Return the scores of specialist and baseline on the images that both have."""
    mine, theirs = per_image.get(SPECIALIST, {}), per_image.get(baseline, {})
    return [(mine[name], theirs[name]) for name in mine if name in theirs]
