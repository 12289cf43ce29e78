"""Page of a comparison: records in, one HTML file and its figures out."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

import matplotlib as mpl

from samtune.comparison_folder import COSTS, KIND, QUALITY_BY_IMAGES, QUALITY_BY_TRAINED, figure_file
from samtune.outputs import OutputFolder
from samtune.overlay import PREDICTION_COLOUR, TRUTH_COLOUR
from samtune.printable import printable
from samtune.report import comparison_figures as figures
from samtune.report.examples import data_uri, embedded, shown
from samtune.report.figures import STYLE
from samtune.report.rendering import render
from samtune.run_folder import REPORT_FILE
from samtune.text import decimals

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

    from samtune.report.records import ComparedRow, ComparisonPage, Suggested


def write_comparison(folder: Path, page: ComparisonPage, *, overwrite: bool = False) -> Path:
    """Write the page of a comparison, and its figures as SVG files too.

    Args:
        folder: folder of the comparison.
        page: content of the page.
        overwrite: also replace files that samtune did not write.

    Returns:
        The path of the page.

    Raises:
        ShapeError: an example's label maps differ in size from its image.
        OutputError: a file would replace one that samtune did not write, or cannot be written.
    """
    with mpl.rc_context(STYLE):
        drawn: dict[str, Figure | None] = {
            QUALITY_BY_IMAGES: figures.quality_by_images(page.rows, page.fit, page.metric.label),
            QUALITY_BY_TRAINED: figures.quality_by_trained(page.rows, page.metric.label),
            COSTS: figures.costs(page.rows),
        }
    html = render(
        "comparison.html.jinja",
        page=page,
        figures={name: figures.inline(figure, name) for name, figure in drawn.items()},
        table=[_table_row(row, page.shots) for row in page.rows],
        detections=[(row.label, row.detection) for row in page.rows if row.detection],
        detection_scope=f"With {page.shots[-1]} labelled images, mean over draws. ",
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
    """Return one line of the table: {"row", "cells"}, one cell per number of images."""
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
    """Return a suggestion for the template, with its picture as a data URI where it has one."""
    if item.image is None:
        return {"item": item, "uri": None}
    image = shown(item.image)
    caption = f"disagreement {decimals(item.disagreement, 2)}"
    return {"item": item, "uri": data_uri(image), "width": image.shape[1], "height": image.shape[0], "caption": caption}
