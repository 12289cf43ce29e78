"""The page of a comparison: rows, groups, curve, suggestions and examples as records."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

import cv2
import numpy as np

from samtune.compare import isolated, label_maps
from samtune.comparison_folder import SUGGESTIONS_FILE
from samtune.data import read_image
from samtune.methods import METHODS
from samtune.metrics.rows import BASELINES, STOCK, row_name
from samtune.overlay import overlay
from samtune.pages.examples import choose_examples
from samtune.progress import say
from samtune.report import ComparedRow, ComparisonPage, CurveFit, Example, GroupRow, Suggested, write_comparison
from samtune.text import duration

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from samtune.compare import Advice, Committee, Comparison, Outcome, Suggestions

MAX_PICTURES = 24
"""Number of suggestions that are shown with a picture; the CSV lists all."""


def write_comparison_page(
    comparison: Comparison,
    *,
    title: str,
    suggestions: Suggestions | None = None,
    committee: Committee | None = None,
    run: Callable[..., Outcome] = isolated,
) -> tuple[ComparisonPage, Path]:
    """Write the page and its figures into the comparison's folder.

    Args:
        comparison: the comparison.
        title: heading of the page.
        suggestions: images to label next.
        committee: specialists whose predictions are drawn on these; None for no pictures.
        run: calls the function that predicts the examples, by default in a process of its own.

    Returns:
        The records of the page, and the path of the page.

    Raises:
        OutputError: a file would replace one that samtune did not write, or cannot be written.
    """
    advice, content = comparison.advice, comparison.to_json(suggestions)
    page = ComparisonPage(
        title=title,
        metric=comparison.job.task.headline,
        sentences=advice.summary,
        facts=_facts(comparison),
        shots=comparison.results.shots,
        rows=compared_rows(comparison),
        groups=[
            GroupRow(group["group"], group["num_images"], group[STOCK], group["kept"], str(row.difference),
                     group["verdict"])
            for group, row in zip(content["groups"], advice.groups, strict=True)
        ],
        group_sentences=advice.group_sentences,
        regressions=advice.regressions,
        regression_sentence=advice.regression_sentence,
        curve_sentences=advice.curve_sentences,
        fit=_fit(advice),
        kept=content["keep"] or "",
        suggestions=_suggested(suggestions, committee),
        suggestion_sentences=suggestion_sentences(suggestions, advice),
        examples=_examples(comparison, run),
        failures=content["failures"],
        notes=content["notes"],
    )  # fmt: skip
    return page, write_comparison(comparison.folder, page, overwrite=comparison.overwrite)


def compared_rows(comparison: Comparison) -> list[ComparedRow]:
    """Return the methods in their order, then the baselines."""
    results, advice = comparison.results, comparison.advice
    order = sorted(results.rows, key=lambda row: row in BASELINES)
    return [
        ComparedRow(
            label=row_name(row).label,
            what=row_name(row).description or METHODS[row].source.split(";")[0],
            is_baseline=row in BASELINES,
            num_images=tuple(each.num_images for each in learned),
            scores=tuple(each.scores for each in learned),
            trainable=last.trainable if learned else 0,
            time_s=last.time_s if learned else None,
            memory_bytes=last.memory_bytes,
            against_best=against_best(advice, row),
            num_failed=sum(each.num_failed for each in learned or [last]),
            is_kept=row == advice.keep,
            level=None if learned or not last.scores else last.mean,
            detection=last.detection,
        )
        for row in order
        for learned in [[] if row == STOCK else [results.summary(row, shots) for shots in results.shots]]
        for last in [learned[-1] if learned else results.summary(row, 0)]
    ]


def against_best(advice: Advice, row: str) -> str:
    """Return the difference of a row from the best one, with its interval and verdict; "" where it is unknown."""
    if row == advice.best:
        return "best"
    ahead = advice.against_best.get(row)
    return "" if ahead is None else f"{-ahead}, {(-ahead).verdict}"


def suggestion_sentences(suggestions: Suggestions | None, advice: Advice) -> tuple[str, ...]:
    """Return sentences on how the suggestions were selected."""
    if suggestions is None:
        return ()
    first = (
        f"Of {suggestions.num_candidates:,} unlabelled images, the specialists of {advice.keep} from different draws "
        f"disagree most on these {len(suggestions.images)}, near-repeats left out; {SUGGESTIONS_FILE} lists them all."
    )
    return (first, *(f"{note}." for note in suggestions.notes))


def short_commit(commit: str) -> str:
    """Return the first twelve characters of a commit, and the "+" of a changed checkout."""
    return commit[:12] + ("+" if commit.endswith("+") else "")


def _facts(comparison: Comparison) -> dict[str, str | int | float | bool | None]:
    settings, results, features = comparison.job.settings, comparison.results, comparison.features
    done = [record for record in results.records.values() if record["status"] == "done"]
    machine = done[0]["machine"] if done else {}
    hardware = machine.get("gpu") or f"{machine.get('processor', '')}, {machine.get('threads', '')} thread(s) per cell"
    if machine.get("cells_at_once", 1) > 1:
        hardware += f", {machine['cells_at_once']} cells at a time"
    return {
        "Base model": settings.base,
        "Classes": ", ".join(comparison.job.dataset.class_names),
        "Test images": len(results.stems),
        "Draws (seeds)": settings.num_seeds,
        "Updates per training": settings.updates,
        "Cells": f"{len(done)} of {len(results.cells)}",
        "Frozen features": f"{features.get('num_encoded', 0):,} views, {duration(features.get('seconds', 0.0))}",
        "Machine": hardware,
        "Computed": max((record["finished"] for record in done), default="")[:16].replace("T", " ") or None,
        "samtune": done[0]["versions"]["samtune"] if done else None,
        "Commit": next((short_commit(record["commit"]) for record in done if record["commit"]), None),
    }


def _fit(advice: Advice) -> CurveFit | None:
    curve = advice.forecast
    if curve is None:
        return None
    num_images, iou = (*curve.num_images, curve.target), (*curve.fitted, curve.predicted)
    return CurveFit(num_images, iou, curve.gain, curve.low, curve.high)


def _suggested(suggestions: Suggestions | None, committee: Committee | None) -> list[Suggested]:
    """Return the suggestions; the first `MAX_PICTURES` have a picture of what most specialists predict."""
    suggested = []
    for rank, item in enumerate(suggestions.images if suggestions else (), start=1):
        picture = None
        if committee is not None and rank <= MAX_PICTURES:
            picture = _picture(read_image(item.file), committee)
        suggested.append(Suggested(rank, item.file.name, item.disagreement, item.novelty, picture))
    return suggested


def _picture(image: NDArray[np.uint8], committee: Committee) -> NDArray[np.uint8]:
    """Return the image, uint8 (H, W, 3) RGB, with each pixel's most common predicted label drawn on it."""
    maps, _ = committee.maps(image)
    votes = np.stack([np.stack([labels == k for labels in maps]).sum(0) for k in range(int(np.max(maps)) + 1)])
    common = votes.argmax(0).astype(np.uint8)
    full = cv2.resize(common, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_NEAREST)
    return overlay(image, np.asarray(full, np.uint8))


def _examples(comparison: Comparison, run: Callable[..., Outcome]) -> list[Example]:
    """Return the best, median and worst test images of the kept method's median draw."""
    advice, results, job = comparison.advice, comparison.results, comparison.job
    if advice.keep is None:
        return []
    done = results.done(advice.keep, advice.shots)
    scores = {seed: record["metrics"][job.task.headline.key] for seed, record in done.items()}
    middle = statistics.median_low(scores.values())
    seed = next(seed for seed, score in scores.items() if score == middle)
    folder = comparison.runs(advice.keep, advice.shots)[sorted(done).index(seed)]
    if not folder.is_dir():
        say(f"The page shows no examples: {folder} no longer exists.")
        return []
    iou = done[seed]["per_image"]
    index_of = {job.dataset.pairs[i].stem: i for i in job.test}
    shown = choose_examples(iou, 3)
    outcome = run(label_maps, job, folder, [index_of[name] for name, _ in shown])
    if outcome.error is not None:
        say(f"The page shows no examples: {outcome.error}")
        return []
    return [
        Example(
            name,
            job.dataset.image(index_of[name]),
            job.task.annotation(job.dataset, index_of[name]),
            labels,
            iou[name],
            standing,
        )
        for (name, standing), labels in zip(shown, outcome.value, strict=True)
    ]
