"""Figures of a page as inline SVG: text stays text, and everything neutral takes the page's text colour.

Drawn with matplotlib's object interface, never pyplot, so that no global state and no display is touched.
"""

from __future__ import annotations

import io
import re
import warnings
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from samtune.metrics.rows import SPECIALIST, row_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes

INK = "#010203"
"""Colour that is replaced by `currentColor`, so that a figure is readable on light and on dark."""

BLUE, ORANGE = "#0e86cc", "#e58a00"
"""Readable on white and on near-black."""

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "samtune",
    "text.parse_math": False,
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "figure.constrained_layout.use": True,
}


def curve(steps: Sequence[float], values: Sequence[float], label: str, colour: str) -> Markup:
    """Draw one quantity against the training step.

    Args:
        steps: optimiser steps, ascending.
        values: one value per step; those that are not finite leave a gap.
        label: name of the quantity, written above the axes.
        colour: colour of the line.
    """
    with mpl.rc_context(STYLE):
        figure, axes = axes_of(4.6, 2.5)
        finite = np.where(np.isfinite(values), values, np.nan)
        marker = "o" if len(steps) <= 30 else ""
        axes.plot(steps, finite, color=colour, linewidth=1.6, marker=marker, markersize=3.5)
        axes.set_xlabel("step")
        axes.set_title(label, loc="left", fontsize=9)
        axes.grid(axis="y", color=INK, alpha=0.12, linewidth=0.6)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        return to_svg(figure, re.sub(r"\W+", "-", label))


def strips(per_image: Mapping[str, Mapping[str, float]], label: str) -> Markup:
    """Draw a strip for each row, with a dot for each image at its score, 0 to 1, and a vertical line at the mean.

    Args:
        per_image: row name -> image name -> metric; the first row is drawn at the top.
        label: name of the metric.
    """
    with mpl.rc_context(STYLE):
        figure, axes = axes_of(5.4, 0.6 + 0.5 * len(per_image))
        for index, (name, scores) in enumerate(per_image.items()):
            values = np.array(list(scores.values()), dtype=np.float64)
            spread = ((np.arange(values.size) * 0.618034) % 1 - 0.5) * 0.5
            colour = ORANGE if name == SPECIALIST else BLUE
            axes.scatter(values, index + spread, s=13, color=colour, alpha=0.65, linewidths=0, clip_on=False)
            if values.size:
                axes.plot([values.mean()] * 2, [index - 0.36, index + 0.36], color=INK, linewidth=1.6)
        axes.set_yticks(range(len(per_image)), [_drawable(row_name(name).label) for name in per_image])
        axes.set_ylim(len(per_image) - 0.45, -0.55)
        axes.set_xlim(0, 1)
        axes.set_xlabel(f"{label} per image")
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x", color=INK, alpha=0.12, linewidth=0.6)
        axes.set_axisbelow(True)
        return to_svg(figure, "strips")


def _drawable(text: str) -> str:
    """Return the text without lone surrogates, which come from file names that are not valid Unicode."""
    return text.encode("utf-8", "replace").decode("utf-8")


def axes_of(width_in: float, height_in: float) -> tuple[Figure, Axes]:
    """Return a figure of this size in inches with one set of axes, both without background."""
    figure = Figure(figsize=(width_in, height_in))
    axes = figure.subplots()
    figure.patch.set_visible(False)
    axes.patch.set_visible(False)
    return figure, axes


def to_svg(figure: Figure, name: str) -> Markup:
    """Return the figure as an `<svg>` element for HTML: no prolog, no namespaces, ids prefixed by the name."""
    buffer = io.StringIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # the browser draws the text, with its own fonts
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    text = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", text).replace("xlink:href", "href")
    text = re.sub(r'\sid="', f' id="{name}-', text)
    text = text.replace('href="#', f'href="#{name}-').replace("url(#", f"url(#{name}-")
    text = re.sub(r'(<svg\b[^>]*?)\swidth="[^"]*"', r"\1", text)
    text = re.sub(r'(<svg\b[^>]*?)\sheight="[^"]*"', r"\1", text)
    text = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", text)
    return Markup(text.replace("<svg", '<svg aria-hidden="true"', 1).replace(INK, "currentColor"))
