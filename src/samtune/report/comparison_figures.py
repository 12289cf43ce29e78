"""Figures of a comparison: IoU against labelled images, IoU against trained parameters, and training costs.

Rows differ in colour (Okabe and Ito's palette, made for common kinds of colour blindness), in marker, and in the name
beside them; no figure relies on colour alone.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from samtune.report.figures import INK, STYLE, axes_of, to_svg
from samtune.text import duration, size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markupsafe import Markup
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from samtune.report.records import ComparedRow, CurveFit

COLOURS = ("#e58a00", "#0e86cc", "#009e73", "#c8609a", "#8a7a00", "#d55e00", "#3fa9dc")
"""Okabe and Ito's palette, darkened or lightened until readable on white and on near-black."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
BASELINE_COLOUR = "#808080"


def quality_by_images(rows: Sequence[ComparedRow], fit: CurveFit | None, metric: str) -> Figure | None:
    """Draw the mean metric against the number of labelled images, a dot for each draw; None with one such number.

    Args:
        rows: all rows; one that is not trained is drawn as a horizontal line.
        fit: fitted curve of the kept row, drawn dashed up to its target; None for no curve.
        metric: name of what the scores are of.
    """
    counts = sorted({n for row in rows for n, scores in zip(row.num_images, row.scores, strict=True) if scores})
    if len(counts) < 2:
        return None
    figure, axes = axes_of(4.6, 3.4)
    ends: list[tuple[float, str, str]] = []
    for index, row in enumerate(rows):
        colour, marker = style_of(rows, index)
        points = [(n, scores) for n, scores in zip(row.num_images, row.scores, strict=True) if scores]
        if not row.num_images and row.level is not None:
            axes.axhline(row.level, color=colour, linewidth=1, linestyle=(0, (1, 2)))
            ends.append((row.level, row.label, colour))
            continue
        if not points:
            continue
        shift = 1 + 0.012 * (index - len(rows) / 2)  # draws of different rows side by side
        for n, scores in points:
            axes.scatter([n * shift] * len(scores), scores, s=7, color=colour, alpha=0.5, linewidths=0)
        means = [float(np.mean(scores)) for _, scores in points]
        style = "--" if row.is_baseline else "-"
        axes.plot([n for n, _ in points], means, style, color=colour, marker=marker, markersize=4.5, linewidth=1.4)
        ends.append((means[-1], row.label, colour))
    if fit is not None:
        axes.plot(fit.num_images, fit.iou, color=INK, linewidth=1, linestyle=(0, (4, 2)))
        last = fit.iou[-1]
        axes.plot(
            [fit.num_images[-1]] * 2, [last - fit.gain + fit.low, last - fit.gain + fit.high], color=INK, linewidth=1
        )
        counts = [*counts, fit.num_images[-1]]
    _log_images(axes, counts)
    axes.set_ylabel(f"{metric} per image")
    _names_at_the_right(axes, ends)
    return figure


def quality_by_trained(rows: Sequence[ComparedRow], metric: str) -> Figure | None:
    """Draw the mean metric at the most labelled images against trained parameters; None with fewer than two rows."""
    drawn = [
        (index, row, row.scores[-1])
        for index, row in enumerate(rows)
        if row.scores and row.scores[-1] and row.trainable
    ]
    if len(drawn) < 2:
        return None
    figure, axes = axes_of(4.6, 3.2)
    ends = []
    for index, row, scores in drawn:
        colour, marker = style_of(rows, index)
        mean, trained = float(np.mean(scores)), row.trainable or 0
        axes.plot([trained] * 2, [min(scores), max(scores)], color=colour, linewidth=1.2)
        axes.plot([trained], [mean], marker, color=colour, markersize=6)
        ends.append((mean, row.label, colour))
    for index, row in enumerate(rows):
        if not row.num_images and row.level is not None:
            colour, _ = style_of(rows, index)
            axes.axhline(row.level, color=colour, linewidth=1, linestyle=(0, (1, 2)))
            ends.append((row.level, row.label, colour))
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(numticks=7))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    axes.set_xlabel("trained parameters")
    axes.set_ylabel(f"{metric} per image")
    axes.grid(axis="y", color=INK, alpha=0.12, linewidth=0.6)
    _names_at_the_right(axes, ends)
    return figure


def costs(rows: Sequence[ComparedRow]) -> Figure | None:
    """Draw the time and peak memory of a training, two bars for each row; None without a trained row."""
    drawn = [(index, row) for index, row in enumerate(rows) if row.time_s is not None and row.num_images]
    if not drawn:
        return None
    figure, left, right = _two_axes(4.6, 0.75 + 0.26 * len(drawn))
    for y, (index, row) in enumerate(drawn):
        colour, _ = style_of(rows, index)
        time_s, memory = row.time_s or 0.0, row.memory_bytes
        left.barh(y, time_s, height=0.6, color=colour)
        left.annotate(duration(time_s), (time_s, y), (3, 0), textcoords="offset points", va="center", fontsize=8)
        if memory is not None:
            right.barh(y, memory / 1e9, height=0.6, color=colour)
            right.annotate(size(memory), (memory / 1e9, y), (3, 0), textcoords="offset points", va="center", fontsize=8)
    left.set_yticks(range(len(drawn)), [row.label for _, row in drawn])
    right.set_yticks([])
    for axes, title in ((left, "training time"), (right, "peak memory")):
        axes.set_ylim(len(drawn) - 0.5, -0.5)
        axes.set_title(title, loc="left", fontsize=9)
        axes.set_xticks([])
        axes.spines[["bottom"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
        axes.set_xlim(0, axes.get_xlim()[1] * 1.45)
    return figure


def style_of(rows: Sequence[ComparedRow], index: int) -> tuple[str, str]:
    """Return the colour and marker of a row: methods in their order, baselines grey with markers of their own."""
    before = sum(row.is_baseline == rows[index].is_baseline for row in rows[:index])
    if rows[index].is_baseline:
        return BASELINE_COLOUR, MARKERS[::-1][before % len(MARKERS)]
    return COLOURS[before % len(COLOURS)], MARKERS[before % len(MARKERS)]


def inline(figure: Figure | None, name: str) -> Markup | None:
    """Return a figure as an `<svg>` element for the page."""
    if figure is None:
        return None
    with mpl.rc_context(STYLE):
        return to_svg(figure, name)


def svg(figure: Figure) -> str:
    """Return a figure as the text of an SVG file, dark on white, for papers and slides."""
    buffer = io.StringIO()
    with mpl.rc_context(STYLE):
        figure.patch.set_visible(True)
        figure.patch.set_facecolor("white")
        figure.savefig(buffer, format="svg", metadata={"Date": None})
        figure.patch.set_visible(False)
    return buffer.getvalue().replace(INK, "#1c1e21")


def short(value: float) -> str:
    """Abbreviate a count: 257, 2.0k, 3.5M, 1.2G."""
    for factor, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= factor:
            scaled = value / factor
            return (
                f"{scaled:.1f}{letter}" if scaled < 10 and not float(scaled).is_integer() else f"{scaled:.0f}{letter}"
            )
    return f"{value:.0f}"


def spread(values: Sequence[float], gap: float) -> list[float]:
    """Return values moved apart until neighbours are at least `gap` apart, in at most 50 passes."""
    order = sorted(range(len(values)), key=lambda i: values[i])
    placed = [values[i] for i in order]
    for _ in range(50):
        for i in range(len(placed) - 1):
            lacking = gap - (placed[i + 1] - placed[i])
            if lacking > 1e-9:
                placed[i] -= lacking / 2
                placed[i + 1] += lacking / 2
    moved = [0.0] * len(values)
    for position, index in enumerate(order):
        moved[index] = placed[position]
    return moved


def _names_at_the_right(axes: Axes, ends: Sequence[tuple[float, str, str]]) -> None:
    """Write each row's name beside the plot at the height of its last value, moved apart where they would overlap."""
    low, high = axes.get_ylim()
    heights = spread([(value - low) / (high - low) for value, _, _ in ends], 0.058)
    for height, (value, label, colour) in zip(heights, ends, strict=True):
        axes.annotate(
            f"{label}  {value:.2f}", (1, (value - low) / (high - low)), (1.06, height), xycoords="axes fraction",
            textcoords="axes fraction", va="center", fontsize=8.5, annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.8, "shrinkA": 1, "shrinkB": 0},
        )  # fmt: skip


def _log_images(axes: Axes, numbers: Sequence[float]) -> None:
    axes.set_xscale("log")
    axes.set_xticks(list(numbers), [f"{n:g}" for n in numbers])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("labelled images, training and validation")
    axes.grid(axis="y", color=INK, alpha=0.12, linewidth=0.6)
    axes.set_xlim(min(numbers) / 1.15, max(numbers) * 1.15)


def _two_axes(width_in: float, height_in: float) -> tuple[Figure, Axes, Axes]:
    figure, axes = axes_of(width_in, height_in)
    axes.remove()
    left, right = figure.subplots(1, 2, width_ratios=(1, 1))
    for each in (left, right):
        each.patch.set_visible(False)
    return figure, left, right
