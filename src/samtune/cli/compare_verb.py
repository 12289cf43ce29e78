"""`samtune compare`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from samtune.cli.options import (
    Background,
    Base,
    Classes,
    Colours,
    ColourTolerance,
    Device,
    DrawnOn,
    Ids,
    IgnoreLabel,
    Images,
    Instances,
    Json,
    Masks,
    Overwrite,
    Side,
    Threshold,
    data_options,
    data_values,
    values_by_method,
)
from samtune.cli.output import emit, table
from samtune.comparison_folder import ComparisonFolder
from samtune.errors import ConfigError
from samtune.printable import shown

if TYPE_CHECKING:
    from samtune.compare import Comparison, Suggestions


def compare(
    images: Images,
    masks: Masks = None,
    *,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder to write; cells that are in it are not computed again.")
    ],
    methods: Annotated[
        str, typer.Option(metavar="A,B,...", help="Methods, see `samtune methods`.")
    ] = "ptsam,decoder_only,lora",
    shots: Annotated[
        str, typer.Option(metavar="N,M,...", help="Numbers of labelled images, validation included.")
    ] = "16",
    seeds: Annotated[int, typer.Option(min=1, help="Draws of labelled images for each of them.")] = 3,
    base: Base = None,
    side: Side = None,
    updates: Annotated[
        int,
        typer.Option(
            min=1, help="Optimiser steps of every training: one budget for all, from which cheap methods may gain more."
        ),
    ] = 80,
    test: Annotated[
        int | None, typer.Option(min=1, help="Test images, the same for all. Default: half, at most 200.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A setting of every training, or METHOD.FIELD; repeat."),
    ] = None,
    suggest: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Name the N images of --unlabelled to label next.")
    ] = None,
    unlabelled: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of images without masks, for --suggest.")
    ] = None,
    classes: Classes = None,
    colour: Colours = None,
    ignore_label: IgnoreLabel = None,
    instances: Instances = None,
    ids: Ids = None,
    background: Background = None,
    threshold: Threshold = None,
    colour_tolerance: ColourTolerance = None,
    drawn_on: DrawnOn = None,
    device: Device = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Cells that run at once. Default: on a CPU as many as it has cores and the memory room for, else 1.",
        ),
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Compare methods on your images, beside stock SAM, a probe, colour alone and a small U-Net: which one to keep."""
    if (suggest is None) != (unlabelled is None):
        raise ConfigError("--suggest N and --unlabelled DIR must come together; one of them is missing.")
    from samtune.compare import CompareSettings, write_page
    from samtune.compare import compare as run_comparison
    from samtune.data import open_dataset
    from samtune.training import locked

    more, fields = values_by_method(set_ or [])
    settings = CompareSettings(
        methods=_words(methods),
        shots=_numbers(shots),
        num_seeds=seeds,
        base=base or CompareSettings.base,
        side=side,
        updates=updates,
        num_test=test,
        device=device,
        jobs=jobs,
        method_fields=fields,
        val=more.pop("val", CompareSettings.val),
        more=more,
    )
    if unlabelled is not None and seeds < 2:
        raise ConfigError(f"--suggest compares the specialists of at least two draws, but --seeds {seeds} came.")
    if unlabelled is not None and not unlabelled.is_dir():
        raise ConfigError(f"--unlabelled must be a folder of images, but {unlabelled} is none.")
    values = data_values(
        classes,
        colour,
        ignore_label,
        instances,
        ids=ids,
        background=background,
        threshold=threshold,
        colour_tolerance=colour_tolerance,
        drawn_on=drawn_on,
    )
    dataset = open_dataset(images, masks, data_options(values))
    with locked(out, "comparison"):
        comparison = run_comparison(settings, dataset, out, overwrite=overwrite)
        wanted = suggest if not comparison.interrupted else None
        suggestions, committee = (None, None) if wanted is None else _suggest(comparison, unlabelled, wanted)
        name = Path(images).resolve()
        title = f"{name.parent.name if name.name == 'images' else name.name}: {', '.join(dataset.class_names)}"
        page = write_page(comparison, title=title, suggestions=suggestions, committee=committee)
    emit(_content(comparison, suggestions, page), _text(comparison, suggestions, page), as_json=as_json)
    if comparison.interrupted:
        sys.exit(130)
    if comparison.failures:
        sys.exit(2)


def _suggest(comparison: Comparison, unlabelled: Path | None, num: int) -> tuple[Suggestions | None, Any]:
    """The images to label next by the kept method's specialists, and these; (None, None) where no method finished."""
    from samtune.compare import Committee, suggest
    from samtune.progress import say

    advice, settings = comparison.advice, comparison.job.settings
    if advice.keep is None or unlabelled is None:
        say("Nothing is suggested: no method has finished.")
        return None, None
    committee = Committee(comparison.runs(advice.keep, advice.shots), settings.base, settings.device)
    found = suggest(committee, comparison.job.dataset, unlabelled, num)
    found.write_csv(ComparisonFolder(comparison.folder).suggestions, overwrite=comparison.overwrite)
    return found, committee


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _numbers(text: str) -> tuple[int, ...]:
    words = _words(text)
    if not words or not all(word.isascii() and word.isdigit() and len(word) <= 9 for word in words):
        raise ConfigError(f"--shots must be numbers of images, such as 4,8,16, but {shown(text)} came.")
    return tuple(int(word) for word in words)


def _content(comparison: Comparison, suggestions: Suggestions | None, page: Path) -> dict[str, Any]:
    """What --json prints."""
    from samtune.metrics.rows import STOCK

    advice, results = comparison.advice, comparison.results
    rows = [
        {
            "row": told.row, "images": told.shots or None, "iou_per_image": told.mean, "std": told.std,
            "num_seeds": len(told.scores), "num_failed": told.num_failed, "num_missing": told.num_missing,
            "trainable": told.trainable, "seconds": told.time_s, "peak_memory_bytes": told.memory_bytes,
        }
        for told in results.summaries()
    ]  # fmt: skip
    law = advice.forecast
    forecast = None if law is None else vars(law) | {"misfit": law.misfit, "verdict": law.verdict}
    groups = [
        {
            "group": row.group.name, "num_images": len(row.group.places), "kept": row.kept, STOCK: row.stock,
            **_difference(row.difference),
        }
        for row in advice.groups
    ]  # fmt: skip
    chosen = None
    if suggestions is not None:
        chosen = [{"file": s.file, "disagreement": s.disagreement, "novelty": s.novelty} for s in suggestions.chosen]
    return {
        "out": str(comparison.folder),
        "keep": advice.keep,
        "best": advice.best,
        "num_test": len(results.stems),
        "num_cells": len(results.cells),
        "num_new": comparison.num_new,
        "rows": rows,
        "best_minus": {row: _difference(told) for row, told in advice.against_best.items()},
        "groups": groups,
        "regressions": [vars(one) for one in advice.regressions],
        "forecast": forecast,
        "advice": [*advice.summary, *advice.group_sentences, *advice.curve_sentences],
        "suggestions": chosen,
        "failures": comparison.failures,
        "notes": list(comparison.notes),
        "interrupted": comparison.interrupted,
        "csv": str(ComparisonFolder(comparison.folder).csv),
        "report": str(page),
    }


def _difference(told: Any) -> dict[str, Any]:
    return {"difference": told.mean, "low": told.low, "high": told.high, "verdict": told.verdict}


def _text(comparison: Comparison, suggestions: Suggestions | None, page: Path) -> str:
    """The table and the advice for a terminal."""
    from samtune.compare import suggestion_sentences

    advice = comparison.advice
    lines = [_table(comparison), "", *advice.summary, "", *advice.group_sentences, "", *_regressions(comparison)]
    lines += ["", *advice.curve_sentences]
    lines += [f"Failed: {row['cell']}: {row['why']}" for row in comparison.failures]
    if suggestions is not None:
        lines += ["", *suggestion_sentences(suggestions, advice)]
        lines += [f"  {item.disagreement:.2f}  {item.file}" for item in suggestions.chosen[:10]]
    return "\n".join([*lines, "", f"Cells:  {ComparisonFolder(comparison.folder).csv}", f"Report: {page}"])


def _regressions(comparison: Comparison) -> list[str]:
    """Test images on which the row to keep is worse than a baseline, one a line."""
    from samtune.metrics import row_name

    advice = comparison.advice
    lines = [
        f"  {one.name}: {one.specialist:.3f}, {row_name(one.baseline).phrase} {one.value:.3f}"
        for one in advice.regressions
    ]
    return [advice.regression_sentence, *lines] if advice.regression_sentence else []


def _table(comparison: Comparison) -> str:
    """Rows by numbers of images."""
    from samtune.compare import compared_rows
    from samtune.text import duration, size

    shots = comparison.results.shots
    rows = []
    for row in compared_rows(comparison):
        level = () if row.level is None else (row.level,)
        scores = row.scores or (level,) * len(shots)
        label = f"{row.label} *" if row.is_kept else row.label
        trained = "" if row.trainable is None else f"{row.trainable:,}"
        time = "" if row.time_s is None else duration(row.time_s)
        rows.append((label, *map(_score, scores), trained, time, size(row.memory_bytes)))
    note = "IoU per image on the test images: mean over draws, ± standard deviation between them. * the one to keep."
    return table(("row", *(f"{n} images" for n in shots), "trained", "time", "memory"), rows) + "\n" + note


def _score(scores: tuple[float, ...]) -> str:
    import statistics

    if not scores:
        return "-"
    spread = f" ± {statistics.stdev(scores):.3f}" if len(scores) > 1 else ""
    return f"{statistics.mean(scores):.3f}{spread}"
