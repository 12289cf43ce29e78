"""Advice from the cells: which method to keep, whether tuning paid, whether to label more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from samtune.compare.curve import INTERVAL, MISFIT, WORTH, Forecast, forecast
from samtune.metrics.differences import difference
from samtune.metrics.regressions import MAX_LISTED, find_regressions, regression_sentence, worst_by_image
from samtune.metrics.rows import BASELINES, COLOUR, PROBE, STOCK, UNET
from samtune.metrics.verdict import (
    OPENINGS,
    Baseline,
    baseline_sentences,
    few_images_sentences,
    outcome_of,
    tuning_sentence,
)
from samtune.text import count, listing, signed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from samtune.compare.groups import ImageGroup
    from samtune.compare.results import Results
    from samtune.metrics import Difference, Regression

CLOSE = 0.02
"""Largest loss of IoU, not distinguishable from none, at which a method with fewer trained parameters is preferred."""


@dataclass(frozen=True)
class GroupResult:
    """The kept method against stock SAM on some of the test images.

    Attributes:
        group: the images.
        kept: mean IoU of the kept method over seeds and these images.
        stock: mean IoU of stock SAM over these images.
        difference: kept minus stock.
    """

    group: ImageGroup
    kept: float
    stock: float
    difference: Difference


@dataclass(frozen=True)
class Advice:
    """Conclusions from a comparison.

    Attributes:
        shots: largest number of labelled images at which a method has finished; all but the curve refers to it.
        best: method with the highest mean IoU there; None where no method has finished.
        keep: method to keep; None where no method has finished.
        against_best: other row -> IoU of the best method minus that of the row.
        summary: sentences, the most important first.
        groups: one result per group of images.
        group_sentences: sentences on the groups.
        forecast: forecast of the kept method's learning curve; None where it cannot be fitted.
        curve_sentences: sentences on whether labelling more is likely to pay.
        regressions: test images on which stock SAM or the probe scores better than the kept method, the largest loss
            first, at most `MAX_LISTED`.
        regression_sentence: sentence on how many there are; "" without a baseline to compare with.
    """

    shots: int
    best: str | None
    keep: str | None
    against_best: dict[str, Difference]
    summary: tuple[str, ...]
    groups: tuple[GroupResult, ...] = ()
    group_sentences: tuple[str, ...] = ()
    forecast: Forecast | None = None
    curve_sentences: tuple[str, ...] = ()
    regressions: tuple[Regression, ...] = ()
    regression_sentence: str = ""


def advise(results: Results, groups: Sequence[ImageGroup], group_notes: Sequence[str]) -> Advice:
    """Return the conclusions from results.

    Args:
        results: finished and missing cells of the comparison.
        groups: groups of test images.
        group_notes: sentences on groups that could not be formed.
    """
    methods = [row for row in results.rows if row not in (STOCK, COLOUR, UNET)]
    finished = [s for s in results.shots if any(results.done(row, s) for row in methods)]
    if not finished:
        return Advice(max(results.shots), None, None, {}, ("No method has finished yet, so there is no advice.",))
    shots = finished[-1]
    scores = {row: results.summary(row, shots).mean for row in methods if results.done(row, shots)}
    best = max(scores, key=lambda row: (scores[row], -(results.summary(row, shots).trainable or 0)))
    others = [row for row in results.rows if row != best and results.done(row, shots)]
    differences = {row: results.compare(best, row, shots) for row in others}
    against_best = {row: value for row, value in differences.items() if value is not None}
    keep = _keep(results, best, [row for row in against_best if row in scores], against_best, shots)
    compared = _groups(results, keep, shots, groups)
    curve = _forecast(results, keep)
    worse, sentence = _regressions(results, keep, shots)
    return Advice(
        shots=shots,
        best=best,
        keep=keep,
        against_best=against_best,
        summary=_summary(results, keep, best, against_best, shots),
        groups=compared,
        group_sentences=(*_group_sentences(compared), *group_notes),
        forecast=curve,
        curve_sentences=_curve_sentences(results, keep, curve),
        regressions=worse,
        regression_sentence=sentence,
    )


def _keep(results: Results, best: str, methods: Sequence[str], against_best: dict[str, Difference], shots: int) -> str:
    """Return the best method, or the smallest one that is within `CLOSE` and not distinguishable from it."""
    size = {row: results.summary(row, shots).trainable or 0 for row in (best, *methods)}
    for row in sorted(methods, key=lambda row: size[row]):
        ahead = against_best[row]
        if size[row] < size[best] and ahead.mean <= CLOSE and ahead.verdict == "not distinguishable":
            return row
    return best


def _summary(
    results: Results, keep: str, best: str, against_best: dict[str, Difference], shots: int
) -> tuple[str, ...]:
    kept, top = results.summary(keep, shots), results.summary(best, shots)
    num_images, metric = count(len(results.stems), "image"), results.task.headline.label
    spread = f", ± {kept.std:.3f} between draws" if len(kept.scores) > 1 else ""
    draws = "1 draw" if len(kept.scores) == 1 else f"{len(kept.scores)} draws"
    first = (
        f"Keep {keep}. With {shots} labelled images it reaches an {metric} of {kept.mean:.3f} per image on "
        f"{num_images} kept out of training (mean of {draws} of labelled images{spread})"
    )
    if keep == best:
        first += ", the highest of the methods."
    else:
        first += (
            f". {best} scores highest with {top.mean:.3f}, but the two are not distinguishable "
            f"({against_best[keep]}), and {keep} trains {kept.trainable:,} parameters instead of {top.trainable:,}."
        )
    sentences = [first, *_others(best, keep, against_best)]
    sentences += _against_stock(results, keep, shots)
    sentences += _against_baselines(results, keep, shots)
    return (*sentences, *_caveats(results, keep, shots))


def _others(best: str, keep: str, against_best: dict[str, Difference]) -> list[str]:
    """Return which methods are worse than the best, and which are not distinguishable from it."""
    methods = {row: ahead for row, ahead in against_best.items() if row not in BASELINES and row != keep}
    same = [row for row, ahead in methods.items() if ahead.verdict == "not distinguishable"]
    worse = [f"{row} (by {ahead.mean:.3f})" for row, ahead in methods.items() if ahead.verdict == "better"]
    sentences = []
    if same:
        sentences.append(f"Not distinguishable from {best} on these images and draws: {listing(same)}.")
    if worse:
        sentences.append(f"Worse than {best}: {listing(worse)}.")
    return sentences


def _against_stock(results: Results, keep: str, shots: int) -> list[str]:
    gain = results.compare(keep, STOCK, shots)
    if gain is None:
        return ["Stock SAM is not compared: without prompts it predicts one mask and no classes."] * (
            STOCK not in results.rows
        )
    kept, stock = results.summary(keep, shots).mean, results.summary(STOCK, 0).mean
    return [tuning_sentence(keep, kept, stock, gain, len(results.stems), results.task.headline)]


def _against_baselines(results: Results, keep: str, shots: int) -> list[str]:
    """Return whether the kept method beats the baselines without SAM and the probe on its frozen features."""
    baselines = []
    for row in (PROBE, COLOUR, UNET):
        difference = results.compare(keep, row, shots) if row != keep and results.done(row, shots) else None
        if difference is not None:
            baselines.append(Baseline(row, results.summary(row, shots).mean, difference))
    return baseline_sentences(keep, baselines)


def _caveats(results: Results, keep: str, shots: int) -> list[str]:
    sentences = []
    if len(results.summary(keep, shots).scores) == 1:
        sentences.append(
            "There is only one draw of labelled images: the intervals cover the choice of test images, but not that of "
            "the labelled ones. Use --seeds 3 or more."
        )
    sentences += few_images_sentences(len(results.stems))
    failed = [cell for cell in results.cells if results.records.get(cell, {}).get("status") == "failed"]
    missing = [cell for cell in results.cells if cell not in results.records]
    if failed:
        sentences.append(f"{len(failed)} of {len(results.cells)} cells failed; their rows have fewer draws.")
    if missing:
        sentences.append(
            f"{len(missing)} of {len(results.cells)} cells are not computed yet, so these results are preliminary."
        )
    return sentences


def _groups(results: Results, keep: str, shots: int, groups: Sequence[ImageGroup]) -> tuple[GroupResult, ...]:
    group_results = []
    for group in groups:
        gain = results.compare(keep, STOCK, shots, images=group.indices)
        if gain is None:
            continue
        seeds = results.seeds(keep, shots) or (0,)
        indices = list(group.indices)
        kept, stock = (results.table(row, shots, seeds)[:, indices].mean() for row in (keep, STOCK))
        group_results.append(GroupResult(group, float(kept), float(stock), gain))
    return tuple(group_results)


def _group_sentences(groups: Sequence[GroupResult]) -> list[str]:
    sentences = []
    for outcome, opening in OPENINGS.items():
        names = [row.group.name for row in groups if outcome_of(row.difference) == outcome]
        if names:
            sentences.append(f"{opening} on {listing(names)}.")
    return sentences


def _forecast(results: Results, keep: str) -> Forecast | None:
    """Return the forecast from the seeds that the kept method has finished at every number of images."""
    shots = [s for s in results.shots if results.done(keep, s)]
    common = sorted(set.intersection(*(set(results.done(keep, s)) for s in shots))) if shots else []
    if len(shots) < 3 or len(common) < 2:
        return None
    tables = [results.table(keep, s, common) for s in shots]
    return forecast(tables, [results.summary(keep, s).num_images for s in shots], results.units)


def _curve_sentences(results: Results, keep: str, curve: Forecast | None) -> tuple[str, ...]:
    if curve is None:
        return tuple(_last_step_sentences(results, keep))
    numbers = (
        f"from {curve.num_images[-1]:.0f} to {curve.target:.0f} labelled images the fitted curve of {keep} changes by "
        f"{signed(curve.gain)} ({100 * INTERVAL:.0f} %: {signed(curve.low)} to {signed(curve.high)}), to "
        f"{curve.predicted:.3f}"
    )
    first = {
        "pays": f"Labelling more is likely to pay: {numbers}.",
        "does not pay": f"Labelling more is unlikely to pay: {numbers}.",
        "unknown": f"Whether labelling more pays is not clear from these cells: {numbers}.",
    }[curve.verdict]
    sentences = [first, f"A gain below {WORTH} counts as too small to pay."]
    if curve.misfit > MISFIT:
        sentences.append(
            f"A power law fits poorly (it misses a measured mean by {curve.misfit:.3f}), so this forecast is weak."
        )
    return tuple(sentences)


def _last_step_sentences(results: Results, keep: str) -> list[str]:
    """Return sentences for when no curve can be fitted: the last measured step, and what to run."""
    shots = [s for s in results.shots if results.done(keep, s)]
    why = (
        "Whether labelling more pays is not clear: an answer needs at least three numbers of images and two draws of "
        f"each (such as --shots {','.join(map(str, _three(shots[-1])))} --seeds 3)."
    )
    if len(shots) < 2:
        return [why]
    gain = _step(results, keep, shots[-2], shots[-1])
    if gain is None:
        return [why]
    effect = {"better": "helped", "worse": "hurt", "not distinguishable": "made no distinguishable difference"}
    return [f"Going from {shots[-2]} to {shots[-1]} images {effect[gain.verdict]}: {gain}.", why]


def _three(last: int) -> tuple[int, int, int]:
    """Return three numbers of images to run: up to the last one, or 4, 8 and 16 where that is below 12."""
    return (last // 4, last // 2, last) if last >= 12 else (4, 8, 16)


def _step(results: Results, row: str, before: int, after: int) -> Difference | None:
    """Return the gain of a row from one number of images to another, over the seeds of both."""
    common = sorted(set(results.done(row, before)) & set(results.done(row, after)))
    if not common:
        return None
    return difference(results.table(row, after, common), results.table(row, before, common), results.units)


def _regressions(results: Results, keep: str, shots: int) -> tuple[tuple[Regression, ...], str]:
    """Return the test images on which stock SAM or the probe is better, and a sentence on how many there are.

    Values are means over the seeds that both rows finished.
    """
    protocol = results.task.protocols["default"]
    regressions: list[Regression] = []
    baselines = []
    for row in (STOCK, PROBE):
        mine, theirs = (set(results.done(name, shots)) for name in (keep, row))
        common = sorted(mine if row == STOCK else mine & theirs)
        if row == keep or not (common and theirs):
            continue
        baselines.append(row)
        values: dict[str, dict[str, dict[str, float | None]]] = {
            name: {
                stem: {protocol.judge: float(value)}
                for stem, value in zip(results.stems, results.table(name, shots, common).mean(0), strict=True)
            }
            for name in (keep, row)
        }
        regressions += find_regressions(values, protocol, keep)
    worst = worst_by_image(regressions)
    sentence = regression_sentence(
        len(worst), len(results.stems), model=f"With {shots} labelled images, {keep}", baselines=baselines,
        images="test image", averaged="means over draws",
    )  # fmt: skip
    return worst[:MAX_LISTED], sentence
