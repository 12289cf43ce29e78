"""Text of a comparison for the terminal, from the records of its page."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

from samtune.cli.output import table
from samtune.text import decimals, duration, size

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from samtune.report import ComparisonPage

MAX_SUGGESTIONS = 10
"""Number of suggestions listed; the CSV file has all."""


def comparison_text(page: ComparisonPage, content: Mapping[str, Any]) -> str:
    """Return the table, the advice and the paths.

    Args:
        page: records of the page.
        content: content of the JSON output.
    """
    lines = [_table(page), *_detection(page), "", *page.sentences, "", *page.group_sentences, "", *_regressions(page)]
    lines += ["", *page.curve_sentences]
    lines += [f"Failed: {row['cell']}: {row['why']}" for row in page.failures]
    if page.suggestion_sentences:
        lines += ["", *page.suggestion_sentences]
        lines += [f"  {item['disagreement']:.2f}  {item['file']}" for item in content["suggestions"][:MAX_SUGGESTIONS]]
    return "\n".join([*lines, "", f"Cells:  {content['csv']}", f"Report: {content['report']}"])


def _detection(page: ComparisonPage) -> list[str]:
    """Return the table of image-level detection; nothing where every test image has objects."""
    from samtune.metrics.detection import DETECTION_EXPLAINED

    found = [(row.label, row.detection) for row in page.rows if row.detection is not None]
    if not found:
        return []
    header = ("row", "sensitivity", "specificity", "AUROC", "false alarms")
    rows = [(label, *(decimals(values[key]) for key in DETECTION_EXPLAINED)) for label, values in found]
    return [
        "",
        f"Images with and without objects, {page.shots[-1]} labelled images:",
        table(header, rows),
        *(f"  {name}: {words}" for name, words in zip(header[1:], DETECTION_EXPLAINED.values(), strict=True)),
    ]


def _regressions(page: ComparisonPage) -> list[str]:
    """Return the test images on which a baseline scores better than the kept row, one a line."""
    from samtune.metrics.rows import row_name

    lines = [
        f"  {each.name}: {each.specialist:.3f}, {row_name(each.baseline).phrase} {each.value:.3f}"
        for each in page.regressions
    ]
    return [page.regression_sentence, *lines] if page.regression_sentence else []


def _table(page: ComparisonPage) -> str:
    """Return the table of rows by numbers of labelled images."""
    rows = []
    for row in page.rows:
        level = () if row.level is None else (row.level,)
        scores = row.scores or (level,) * len(page.shots)
        label = f"{row.label} *" if row.is_kept else row.label
        trained = "" if row.trainable is None else f"{row.trainable:,}"
        time = "" if row.time_s is None else duration(row.time_s)
        rows.append((label, *map(_score, scores), trained, time, size(row.memory_bytes)))
    spread = "mean over draws, \N{PLUS-MINUS SIGN} standard deviation between them"
    note = f"{page.metric.label} per image on the test images: {spread}. "
    header = ("row", *(f"{n} images" for n in page.shots), "trained", "time", "memory")
    return f"{table(header, rows)}\n{note}* the one to keep."


def _score(scores: Sequence[float]) -> str:
    if not scores:
        return "-"
    spread = f" \N{PLUS-MINUS SIGN} {statistics.stdev(scores):.3f}" if len(scores) > 1 else ""
    return f"{statistics.mean(scores):.3f}{spread}"
