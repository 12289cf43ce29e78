"""The report page: plain data in, one HTML file out that needs nothing beside it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from samtune.metrics.rows import SPECIALIST
from samtune.outputs import OutputFolder
from samtune.overlay import PREDICTION_COLOUR, TRUTH_COLOUR
from samtune.printable import printable
from samtune.report import figures
from samtune.report.examples import Example, embedded
from samtune.report.rendering import render
from samtune.run_folder import REPORT_FILE, REPORT_KIND
from samtune.text import plain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from markupsafe import Markup

    from samtune.metrics import Regression


MAX_HISTORY_ROWS = 200
"""Of a longer history the table shows every n-th row, each row with a validation score, and the last."""


@dataclass(frozen=True)
class RunFacts:
    """What was trained.

    Attributes:
        method: the method's registry name.
        base: the base model's name.
        trainable: trained numbers.
        time_s: training time in seconds.
        more: further facts as label -> value, shown after these in this order.
    """

    method: str
    base: str
    trainable: int
    time_s: float
    more: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)


@dataclass(frozen=True)
class HistoryRow:
    """One point of the training history.

    Attributes:
        step: optimiser step, from 0.
        loss: training loss there, None where only the validation was measured.
        val_iou: IoU per image on the validation images, None where not measured.
    """

    step: int
    loss: float | None
    val_iou: float | None = None


@dataclass(frozen=True, eq=False)
class ReportPage:
    """Everything a page says; any part that is empty is left out of it.

    Attributes:
        title: the page's heading.
        facts: what was trained.
        rows: row name ("specialist", "stock_sam", "probe", or any other) -> `metrics.Scores.to_dict()`.
        measured_on: which images the rows were measured on, as the end of a sentence: "the 60 images in
            test/".
        summary: sentences for the top, the most important first.
        per_image: row name -> image name -> IoU, for the dots.
        regressions: images on which a baseline scores better than the specialist, the worst first.
        regression_sentence: on how many; "" leaves the list out.
        history: the training history, by step.
        data: facts about the data as label -> value: numbers of images, mask encoding, sizes.
        notes: what was guessed or noticed about data and run, one sentence each.
        examples: images to show, in this order.
        skipped: files that could not be used, each {"file": ..., "why": ...}.
    """

    title: str
    facts: RunFacts
    rows: Mapping[str, Mapping[str, Any]]
    measured_on: str = ""
    summary: Sequence[str] = ()
    per_image: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    regressions: Sequence[Regression] = ()
    regression_sentence: str = ""
    history: Sequence[HistoryRow] = ()
    data: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)
    notes: Sequence[str] = ()
    examples: Sequence[Example] = ()
    skipped: Sequence[Mapping[str, str]] = ()


def check_report(run: Path, *, overwrite: bool = False) -> None:
    """Check that a run's report may be written, before what it says is computed.

    Raises:
        OutputError: there is a report that samtune did not write, or that was changed since.
    """
    OutputFolder(run, REPORT_KIND, overwrite=overwrite).claim([REPORT_FILE])


def write_report(path: Path, page: ReportPage, *, overwrite: bool = False) -> Path:
    """Write the page as one HTML file with its style, figures and images inside.

    Args:
        path: the file to write (replaced where samtune wrote it), or a folder that gets a `report.html`.
        page: what to say.
        overwrite: replace a file that samtune did not write, too.

    Returns:
        The file that was written.

    Raises:
        ShapeError: an example's label maps do not have its image's size.
        OutputError: the file is not samtune's to replace, or the disk refuses.
    """
    file = path / REPORT_FILE if path.is_dir() else path
    html = render(
        "page.html.jinja",
        page=page,
        main=_main_row(page),
        strips=figures.strips(page.per_image) if any(page.per_image.values()) else None,
        curves=_curves(page.history),
        history=_thinned(page.history),
        examples=[embedded(example) for example in page.examples],
        truth_rgb=TRUTH_COLOUR,
        prediction_rgb=PREDICTION_COLOUR,
    )
    return OutputFolder(file.parent, REPORT_KIND, overwrite=overwrite).write_text(file.name, printable(html))


def _main_row(page: ReportPage) -> Mapping[str, Any] | None:
    """Return the specialist's scores, or the first row's where there is none of that name."""
    return page.rows.get(SPECIALIST) or next(iter(page.rows.values()), None)


def _curves(history: Sequence[HistoryRow]) -> list[tuple[str, Markup]]:
    """Return (what a screen reader says, figure) for each quantity with at least two points."""
    losses = [(row.step, row.loss) for row in history if row.loss is not None]
    scores = [(row.step, row.val_iou) for row in history if row.val_iou is not None]
    drawn = []
    for label, points, colour in (
        ("training loss", losses, figures.BLUE),
        ("validation IoU per image", scores, figures.ORANGE),
    ):
        if len(points) < 2:
            continue
        steps, values = [step for step, _ in points], [value for _, value in points]
        told = (
            f"{label} from {plain(float(values[0]))} at step {steps[0]:,} "
            f"to {plain(float(values[-1]))} at step {steps[-1]:,}"
        )
        drawn.append((told, figures.curve(steps, values, label, colour)))
    return drawn


def _thinned(history: Sequence[HistoryRow]) -> list[HistoryRow]:
    every = math.ceil(len(history) / MAX_HISTORY_ROWS) or 1
    last = len(history) - 1
    return [row for index, row in enumerate(history) if index % every == 0 or index == last or row.val_iou is not None]
