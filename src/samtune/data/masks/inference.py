"""The encoding of a whole folder of masks, inferred from all their values; every guess is a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from samtune.data.masks.colours import infer_colours
from samtune.data.masks.inferred import Inference, one_class, refuse
from samtune.data.masks.levels import pool
from samtune.data.masks.noise import SOLID
from samtune.data.masks.palettes import palette_contradiction, read_palettes_as
from samtune.data.masks.single_channel import SingleChannel
from samtune.data.masks.statistics import HALF

if TYPE_CHECKING:
    from collections.abc import Sequence

    from samtune.data.masks.statistics import MaskStats
    from samtune.data.options import DataOptions

__all__ = ["Inference", "infer_encoding"]

MIN_FAINT_SHARE = 0.05
"""Drawn pixels of low alpha beside opaque ones are reported from this share of the visible pixels on."""


def infer_encoding(stats: Sequence[MaskStats], options: DataOptions) -> Inference:
    """Infer how the masks are to be read; never guesses inverted masks, and never a class map of colours."""
    if not stats:
        return Inference(None, ())
    hot = next((s for s in stats if s.one_hot and s.form == "alpha"), None)
    if hot is not None:
        what = "has a value in one channel alone at each pixel, the alpha channel included: one channel for each class?"
        mend = "save class ids in a single channel, such as `np.argmax(bands, axis=2)` where band 0 is the background"
        return refuse("one_hot", str(hot.path), what, mend)
    faint = _mixed_alphas(stats) if options.threshold is None else None
    if faint is not None:
        return faint
    reads = choose_reading(stats, options)
    if reads == "colour":
        return infer_colours(stats, options)
    if reads == "alpha":
        return _alpha(stats, options)
    contradiction = palette_contradiction(stats, reads)
    if contradiction is not None:
        return Inference(None, (), (contradiction,))
    if reads == "mixed_float":
        bad = next(s for s in stats if s.fractional and not _is_unit(s))
        what = f"has float values up to {np.nanmax(bad.values):g} that are neither ids nor within 0..1"
        mend = "save it with 0 and 1, or with whole numbers as ids, or give `--threshold VALUE`: above it is the object"
        attempt = SingleChannel(stats, "value", options).infer_fractional()
        return attempt or refuse("float_mask", str(bad.path), what, mend)
    return SingleChannel(stats, reads, options).infer()


def choose_reading(stats: Sequence[MaskStats], options: DataOptions) -> str:
    """Which of `MaskEncoding.reads` fits all masks, or "mixed_float" where none does."""
    forms = {s.form for s in stats}
    if options.colours is not None:
        return "colour"
    if forms == {"alpha"} and len({colour for s in stats for colour in s.visible}) <= 1 and not options.instances:
        return "alpha"
    if forms & {"colour", "alpha"}:
        return "colour"
    says_values = options.ids is not None or options.background is not None or options.threshold is not None
    if says_values and forms <= {"palette", "value"}:
        return "value"
    if "palette" in forms:
        return read_palettes_as(stats)
    floats = [s for s in stats if s.form == "float"]
    if not any(s.fractional for s in floats):
        return "value"
    if all(_is_unit(s) for s in floats):
        return "unit"
    return "value" if options.threshold is not None else "mixed_float"


def _is_unit(stats: MaskStats) -> bool:
    """Whether a float mask lies within 0..1, overshoot of interpolation included."""
    return bool(np.nanmin(stats.values) > -1 and np.nanmax(stats.values) < 2)


def _alpha(stats: Sequence[MaskStats], options: DataOptions) -> Inference:
    what = "The transparency of the masks carries them"
    if options.threshold is not None:
        limit = int(options.threshold // 1)
        return one_class("alpha", (), limit, f"{what}: alpha above {options.threshold} is the one class", options)
    top = max(int(s.alpha.values[-1]) for s in stats if s.alpha is not None)
    if top == 0:
        return refuse("no_foreground", "masks", "all masks are empty (transparent)", "draw the objects")
    if top <= HALF:
        sentence = f"{what}, at most {top} of 255 (a brush of low opacity): alpha above 0 is the one class"
        return one_class("alpha", (), 0, sentence, options)
    return one_class("alpha", (), HALF, f"{what}: visible is the one class", options)


def _mixed_alphas(stats: Sequence[MaskStats]) -> Inference | None:
    """Refuse masks with strokes of low opacity beside opaque ones: a threshold would drop the former in silence."""
    masks = [(s, s.alpha) for s in stats if s.alpha is not None and s.alpha.values[-1] > 0]
    tops = [int(alpha.values[-1]) for _, alpha in masks]
    if not tops or max(tops) <= HALF:
        return None
    mend = "make all strokes opaque, or give `--threshold 0`: every pixel with alpha above 0 is the object"
    for (s, _), top in zip(masks, tops, strict=True):
        if top <= HALF:
            what = f"has alphas up to {top} only, while other masks are opaque (up to {max(tops)})"
            return refuse("faint_alpha", str(s.path), what, mend)
    levels = pool((alpha.values, alpha.counts, alpha.spread) for _, alpha in masks)
    visible = levels.counts[levels.values > 0].sum()
    drawn = (levels.spread.core > SOLID * levels.counts) & (levels.counts > MIN_FAINT_SHARE * visible)
    for value in levels.values[drawn & (levels.values > 0) & (levels.values <= HALF)].tolist():
        first = next(s for s, alpha in masks if value in alpha.values)
        what = f"has areas of alpha {value} beside opaque ones"
        return refuse("faint_alpha", str(first.path), what, f"{mend}; `--threshold {HALF}` leaves the faint ones out")
    return None
