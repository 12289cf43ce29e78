"""From a comparison to its page: rows, groups, curve, suggestions, examples as plain data for the report."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

import numpy as np

from samtune.compare.isolation import isolated
from samtune.compare.measure import label_maps
from samtune.comparison_folder import SUGGESTIONS_FILE
from samtune.data import read_image
from samtune.methods import METHODS
from samtune.metrics.rows import BASELINES, STOCK, row_name
from samtune.overlay import overlay
from samtune.progress import say
from samtune.report import (
    ComparedRow,
    ComparisonPage,
    CurveFit,
    Example,
    GroupRow,
    Suggested,
    WorseImage,
    choose_examples,
    write_comparison,
)
from samtune.text import duration

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from samtune.compare.advice import Advice
    from samtune.compare.run import Comparison, Runner
    from samtune.compare.suggest import Committee, Suggestions

NUM_PICTURES = 24
"""Of the suggestions this many are shown as pictures; the CSV has all."""


def write_page(
    comparison: Comparison,
    *,
    title: str,
    suggestions: Suggestions | None = None,
    committee: Committee | None = None,
    run: Runner = isolated,
) -> Path:
    """Write `report.html` and `figures/` into the comparison's folder.

    Args:
        comparison: what came of it.
        title: the page's heading.
        suggestions: images to label next.
        committee: draws what the specialists say on these; None for no pictures.
        run: how predictions for the examples are computed.
    """
    advice, results = comparison.advice, comparison.results
    failures = comparison.failures
    page = ComparisonPage(
        title=title,
        sentences=advice.summary,
        facts=_facts(comparison),
        shots=results.shots,
        rows=compared_rows(comparison),
        groups=[
            GroupRow(row.group.name, len(row.group.places), row.stock, row.kept, str(row.difference),
                     row.difference.verdict)
            for row in advice.groups
        ],
        group_sentences=advice.group_sentences,
        regressions=[
            WorseImage(one.name, one.specialist, row_name(one.baseline).label, one.value, one.loss)
            for one in advice.regressions
        ],
        regression_sentence=advice.regression_sentence,
        curve_sentences=advice.curve_sentences,
        fit=_fit(advice),
        kept=advice.keep or "",
        suggestions=_suggested(suggestions, committee),
        suggestion_sentences=suggestion_sentences(suggestions, advice),
        examples=_examples(comparison, run),
        failures=failures,
        notes=comparison.notes,
    )  # fmt: skip
    return write_comparison(comparison.folder, page, overwrite=comparison.overwrite)


def compared_rows(comparison: Comparison) -> list[ComparedRow]:
    """Methods first, in their order, then the baselines."""
    results, advice = comparison.results, comparison.advice
    order = [row for row in results.rows if row not in BASELINES] + [row for row in results.rows if row in BASELINES]
    found = []
    for row in order:
        name = row_name(row)
        label, what = name.label, name.description or _source(row)
        if row == STOCK:
            told = results.summary(row, 0)
            found.append(
                ComparedRow(label, what, True, (), (), 0, None, told.memory_bytes, against_best(advice, row),
                            told.num_failed, False, told.mean if told.scores else None)
            )  # fmt: skip
            continue
        summaries = [results.summary(row, shots) for shots in results.shots]
        last = summaries[-1]
        found.append(
            ComparedRow(
                label=label,
                what=what,
                is_baseline=row in BASELINES,
                num_images=tuple(each.num_images for each in summaries),
                scores=tuple(each.scores for each in summaries),
                trainable=last.trainable,
                time_s=last.time_s,
                memory_bytes=last.memory_bytes,
                against_best=against_best(advice, row),
                num_failed=sum(each.num_failed for each in summaries),
                is_kept=row == advice.keep,
            )
        )
    return found


def against_best(advice: Advice, row: str) -> str:
    """How a row stands to the best one: its score minus the best one's, with the interval."""
    if row == advice.best:
        return "highest"
    told = advice.against_best.get(row)
    if told is None:
        return ""
    return f"{-told}, {(-told).verdict}"


def suggestion_sentences(suggestions: Suggestions | None, advice: Advice) -> tuple[str, ...]:
    """How the suggestions were chosen."""
    if suggestions is None:
        return ()
    first = (
        f"Of {suggestions.num_candidates:,} unlabelled images these {len(suggestions.chosen)} are where the "
        f"specialists of {advice.keep} from different draws disagree most, without "
        f"near-repeats; {SUGGESTIONS_FILE} has all of them."
    )
    return (first, *(f"{note}." for note in suggestions.notes))


def short_commit(commit: str) -> str:
    """The first twelve letters, and the "+" of a changed checkout."""
    return commit[:12] + ("+" if commit.endswith("+") else "")


def _source(row: str) -> str:
    source: str = METHODS[row].source
    return source.split(";")[0]


def _facts(comparison: Comparison) -> dict[str, str | int | float | bool | None]:
    settings, results, features = comparison.job.settings, comparison.results, comparison.features
    done = [record for record in results.records.values() if record["status"] == "done"]
    machine = done[0]["machine"] if done else {}
    where = machine.get("gpu") or f"{machine.get('processor', '')}, {machine.get('threads', '')} thread(s) a cell"
    if machine.get("cells_at_once", 1) > 1:
        where += f", {machine['cells_at_once']} cells at once"
    return {
        "Base model": settings.base,
        "Classes": ", ".join(comparison.job.dataset.class_names),
        "Test images": len(results.stems),
        "Draws (seeds)": settings.num_seeds,
        "Updates of a training": settings.updates,
        "Cells": f"{len(done)} of {len(results.cells)}",
        "Frozen features": f"{features.get('num_encoded', 0):,} views, {duration(features.get('seconds', 0.0))}",
        "Machine": where,
        "Computed": max((record["finished"] for record in done), default="")[:16].replace("T", " ") or None,
        "samtune": done[0]["versions"]["samtune"] if done else None,
        "Commit": next((short_commit(record["commit"]) for record in done if record["commit"]), None),
    }


def _fit(advice: Advice) -> CurveFit | None:
    law = advice.forecast
    if law is None:
        return None
    return CurveFit((*law.num_images, law.target), (*law.fitted, law.predicted), law.gain, law.low, law.high)


def _suggested(suggestions: Suggestions | None, committee: Committee | None) -> list[Suggested]:
    """The suggestions with what most specialists find filled."""
    found = []
    for rank, item in enumerate(suggestions.chosen if suggestions else (), start=1):
        picture = None
        if committee is not None and rank <= NUM_PICTURES:
            picture = _picture(read_image(item.file), committee)
        found.append(Suggested(rank, item.file.name, item.disagreement, item.novelty, picture))
    return found


def _picture(image: NDArray[np.uint8], committee: Committee) -> NDArray[np.uint8]:
    import cv2

    maps, _ = committee.maps(image)
    votes = np.stack([np.stack([labels == k for labels in maps]).sum(0) for k in range(int(np.max(maps)) + 1)])
    common = votes.argmax(0).astype(np.uint8)
    full = cv2.resize(common, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_NEAREST)
    return overlay(image, np.asarray(full, np.uint8))


def _examples(comparison: Comparison, run: Runner) -> list[Example]:
    """Best, middle and worst test images of the kept method's middle draw."""
    advice, results, job = comparison.advice, comparison.results, comparison.job
    if advice.keep is None:
        return []
    done = results.done(advice.keep, advice.shots)
    middle = statistics.median_low([record["metrics"]["iou_per_image"] for record in done.values()])
    seed = next(seed for seed, record in done.items() if record["metrics"]["iou_per_image"] == middle)
    folder = comparison.runs(advice.keep, advice.shots)[sorted(done).index(seed)]
    if not folder.is_dir():
        say(f"No examples are shown: {folder} is gone.")
        return []
    iou = done[seed]["per_image"]
    index_of = {job.dataset.pairs[i].stem: i for i in job.test}
    chosen = choose_examples(iou, 3)
    outcome = run(label_maps, job, folder, [index_of[name] for name, _ in chosen])
    if outcome.error is not None:
        say(f"No examples are shown: {outcome.error}")
        return []
    return [
        Example(
            name, job.dataset.image(index_of[name]), job.dataset.labels(index_of[name]), labels, iou[name], standing
        )
        for (name, standing), labels in zip(chosen, outcome.value, strict=True)
    ]
