"""Page of a run: records in, one self-contained HTML file out."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from samtune.metrics.rows import SPECIALIST, row_name
from samtune.outputs import OutputFolder
from samtune.overlay import PREDICTION_COLOUR, TRUTH_COLOUR
from samtune.printable import printable
from samtune.report import figures
from samtune.report.examples import embedded
from samtune.report.rendering import render
from samtune.run_folder import REPORT_FILE, REPORT_KIND
from samtune.text import plain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from markupsafe import Markup

    from samtune.report.records import HistoryRow, ReportPage


MAX_HISTORY_ROWS = 200
"""Largest number of rows of the table; a longer history is thinned, but keeps validation scores and the last row."""


def check_report(run: Path, *, overwrite: bool = False) -> None:
    """Check that the page of a run may be written, before computing its content.

    Raises:
        OutputError: the file exists and was not written by samtune, or was changed since.
    """
    OutputFolder(run, REPORT_KIND, overwrite=overwrite).claim([REPORT_FILE])


def write_report(path: Path, page: ReportPage, *, overwrite: bool = False) -> Path:
    """Write the page as one HTML file with its style, figures and images inside.

    Args:
        path: the file to write, replaced where samtune wrote it, or a folder to write `report.html` to.
        page: content of the page.
        overwrite: also replace a file that samtune did not write.

    Returns:
        The file that was written.

    Raises:
        ShapeError: an example's label maps differ in size from its image.
        OutputError: the page would replace a file that samtune did not write, or cannot be written.
    """
    file = path / REPORT_FILE if path.is_dir() else path
    html = render(
        "page.html.jinja",
        page=page,
        main=_main_row(page),
        detections=[
            (row_name(row).label, found) for row, scores in page.rows.items() if (found := scores.get("detection"))
        ],
        detection_scope="",
        strips=figures.strips(page.per_image, page.metric.label) if any(page.per_image.values()) else None,
        curves=_curves(page.history, page.metric.label),
        history=_thinned(page.history),
        examples=[embedded(example) for example in page.examples],
        truth_rgb=TRUTH_COLOUR,
        prediction_rgb=PREDICTION_COLOUR,
    )
    return OutputFolder(file.parent, REPORT_KIND, overwrite=overwrite).write_text(file.name, printable(html))


def _main_row(page: ReportPage) -> Mapping[str, Any] | None:
    """Return the specialist's scores; without a specialist, those of the first row; None without rows."""
    return page.rows.get(SPECIALIST) or next(iter(page.rows.values()), None)


def _curves(history: Sequence[HistoryRow], metric: str) -> list[tuple[str, Markup]]:
    """Return (text for screen readers, figure) for each quantity with at least two points."""
    losses = [(row.step, row.loss) for row in history if row.loss is not None]
    scores = [(row.step, row.val_iou) for row in history if row.val_iou is not None]
    drawn = []
    for label, points, colour in (
        ("training loss", losses, figures.BLUE),
        (f"validation {metric} per image", scores, figures.ORANGE),
    ):
        if len(points) < 2:
            continue
        steps, values = [step for step, _ in points], [value for _, value in points]
        description = (
            f"{label} from {plain(float(values[0]))} at step {steps[0]:,} "
            f"to {plain(float(values[-1]))} at step {steps[-1]:,}"
        )
        drawn.append((description, figures.curve(steps, values, label, colour)))
    return drawn


def _thinned(history: Sequence[HistoryRow]) -> list[HistoryRow]:
    every = math.ceil(len(history) / MAX_HISTORY_ROWS) or 1
    last = len(history) - 1
    return [row for index, row in enumerate(history) if index % every == 0 or index == last or row.val_iou is not None]
