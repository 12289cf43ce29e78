"""The page of a comparison: which method to keep, what tuning brings, whether to label more. Plain data in."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import matplotlib as mpl

from samtune.comparison_folder import COSTS, KIND, QUALITY_BY_IMAGES, QUALITY_BY_TRAINED, figure_file
from samtune.outputs import OutputFolder
from samtune.overlay import PREDICTION_COLOUR, TRUTH_COLOUR
from samtune.printable import printable
from samtune.report import comparison_figures as figures
from samtune.report.examples import Example, data_uri, embedded, shown
from samtune.report.figures import STYLE
from samtune.report.rendering import render
from samtune.run_folder import REPORT_FILE
from samtune.text import decimals

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from matplotlib.figure import Figure
    from numpy.typing import NDArray


@dataclass(frozen=True)
class ComparedRow:
    """One method or baseline.

    Attributes:
        label: its name as a reader sees it.
        what: a few words on what it is.
        is_baseline: whether it is there to compare with.
        num_images: numbers of labelled images, rising; empty for a row that learns nothing.
        scores: for each of them the mean IoU of each draw; empty where none finished.
        trainable: trained numbers; None where nothing finished.
        time_s: mean seconds of a training at the largest number of images.
        memory_bytes: largest peak memory of a training's process.
        against_best: how it stands to the best row, in a few words.
        num_failed: cells that failed.
        is_kept: whether it is the one to keep.
        level: mean IoU of a row that learns nothing.
    """

    label: str
    what: str
    is_baseline: bool
    num_images: tuple[float, ...]
    scores: tuple[tuple[float, ...], ...]
    trainable: int | None = None
    time_s: float | None = None
    memory_bytes: int | None = None
    against_best: str = ""
    num_failed: int = 0
    is_kept: bool = False
    level: float | None = None


@dataclass(frozen=True)
class CurveFit:
    """A fitted learning curve as it is drawn.

    Attributes:
        num_images: measured numbers of images, and the target last.
        iou: the law's IoU at each.
        gain: its last step.
        low: lower end of the interval of the last step.
        high: upper end.
    """

    num_images: tuple[float, ...]
    iou: tuple[float, ...]
    gain: float
    low: float
    high: float


@dataclass(frozen=True)
class GroupRow:
    """The kept method against stock SAM on a group of images.

    Attributes:
        name: of the group.
        num_images: in it.
        stock: mean IoU of stock SAM.
        kept: mean IoU of the kept method.
        change: the difference with its interval, in words.
        verdict: better, worse or not distinguishable.
    """

    name: str
    num_images: int
    stock: float
    kept: float
    change: str
    verdict: str


@dataclass(frozen=True)
class WorseImage:
    """A test image on which a baseline is better than the kept method.

    Attributes:
        name: of the image.
        kept: IoU of the kept method.
        baseline: which baseline.
        value: the baseline's IoU.
        loss: how much the kept method is below it.
    """

    name: str
    kept: float
    baseline: str
    value: float
    loss: float


@dataclass(frozen=True, eq=False)
class Suggested:
    """An image worth labelling.

    Attributes:
        rank: from 1.
        file: where it is.
        disagreement: of the draws' specialists, 0..1.
        novelty: distance to the images suggested before it, 0..1.
        image: uint8 (H, W, 3) RGB with what the specialists say drawn on it; None for no picture.
    """

    rank: int
    file: str
    disagreement: float
    novelty: float
    image: NDArray[np.uint8] | None = None


@dataclass(frozen=True, eq=False)
class ComparisonPage:
    """Everything the page says; any part that is empty is left out of it.

    Attributes:
        title: the page's heading.
        sentences: the advice, the most important first.
        facts: label -> value.
        shots: numbers of labelled images that were asked for, rising.
        rows: methods and baselines in the order of the table.
        groups: the kept method on each group of images.
        group_sentences: what they say, and why there are no more.
        regressions: test images on which a baseline is better than the kept method, the worst first.
        regression_sentence: on how many.
        curve_sentences: whether labelling more is likely to pay.
        fit: the fitted curve of the kept row.
        kept: name of the kept row, "" without one.
        suggestions: images to label next.
        suggestion_sentences: how they were chosen.
        examples: test images with the kept method's prediction.
        failures: {"cell": ..., "why": ...} of each failed cell.
        notes: what a reader must know, one sentence each.
    """

    title: str
    sentences: Sequence[str]
    facts: Mapping[str, str | int | float | bool | None]
    shots: tuple[int, ...]
    rows: Sequence[ComparedRow]
    groups: Sequence[GroupRow] = ()
    group_sentences: Sequence[str] = ()
    regressions: Sequence[WorseImage] = ()
    regression_sentence: str = ""
    curve_sentences: Sequence[str] = ()
    fit: CurveFit | None = None
    kept: str = ""
    suggestions: Sequence[Suggested] = ()
    suggestion_sentences: Sequence[str] = ()
    examples: Sequence[Example] = ()
    failures: Sequence[Mapping[str, str]] = ()
    notes: Sequence[str] = field(default_factory=tuple)


def write_comparison(folder: Path, page: ComparisonPage, *, overwrite: bool = False) -> Path:
    """Write `report.html` and the figures as files of their own.

    Args:
        folder: of the comparison.
        page: what to say.
        overwrite: replace files that samtune did not write, too.

    Returns:
        The page.

    Raises:
        ShapeError: an example's label maps do not have its image's size.
        OutputError: a file is not samtune's to replace, or the disk refuses.
    """
    with mpl.rc_context(STYLE):
        drawn: dict[str, Figure | None] = {
            QUALITY_BY_IMAGES: figures.quality_by_images(page.rows, page.fit),
            QUALITY_BY_TRAINED: figures.quality_by_trained(page.rows),
            COSTS: figures.costs(page.rows),
        }
    html = render(
        "comparison.html.jinja",
        page=page,
        figures={name: figures.inline(figure, name) for name, figure in drawn.items()},
        table=[_table_row(row, page.shots) for row in page.rows],
        suggestions=[_picture(item) for item in page.suggestions],
        examples=[embedded(example) for example in page.examples],
        truth_rgb=TRUTH_COLOUR,
        prediction_rgb=PREDICTION_COLOUR,
    )
    out = OutputFolder(folder, KIND, overwrite=overwrite)
    for name, figure in drawn.items():
        if figure is None:
            out.remove(figure_file(name))
        else:
            out.write_text(figure_file(name), figures.svg(figure))
    return out.write_text(REPORT_FILE, printable(html))


def _table_row(row: ComparedRow, shots: tuple[int, ...]) -> dict[str, Any]:
    """One line of the table: a score for each number of images."""
    if not row.num_images:
        cells = [{"mean": row.level, "std": None, "num": None} for _ in shots]
    else:
        cells = [
            {
                "mean": sum(scores) / len(scores) if scores else None,
                "std": statistics.stdev(scores) if len(scores) > 1 else None,
                "num": len(scores),
            }
            for scores in row.scores
        ]
    return {"row": row, "cells": cells}


def _picture(item: Suggested) -> dict[str, Any]:
    if item.image is None:
        return {"item": item, "uri": None}
    image = shown(item.image)
    told = f"disagreement {decimals(item.disagreement, 2)}"
    return {"item": item, "uri": data_uri(image), "width": image.shape[1], "height": image.shape[0], "told": told}
