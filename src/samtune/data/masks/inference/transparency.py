"""Masks drawn in the alpha channel: visible pixels are foreground."""

from __future__ import annotations

from typing import TYPE_CHECKING

from samtune.data.masks.channels import HALF
from samtune.data.masks.inference.noise import SOLID
from samtune.data.masks.inference.outcome import InferredEncoding, one_class, refuse
from samtune.data.masks.spread import pool

if TYPE_CHECKING:
    from collections.abc import Sequence

    from samtune.data.masks.statistics import MaskStats
    from samtune.data.options import DataOptions

MIN_FAINT_SHARE = 0.05
"""Areas of low alpha beside opaque ones are refused if they cover more than this share of the visible pixels."""


def infer_transparency(stats: Sequence[MaskStats], options: DataOptions) -> InferredEncoding:
    """Return the encoding of masks of one visible colour: alpha above one half, or above 0 if none is higher."""
    what = "The masks are drawn in the alpha channel"
    if options.threshold is not None:
        limit = int(options.threshold // 1)
        return one_class("alpha", (), limit, f"{what}: alpha above {options.threshold} is foreground", options)
    top = max(int(s.alpha.values[-1]) for s in stats if s.alpha is not None)
    if top == 0:
        return refuse("no_foreground", "masks", "all masks are empty (transparent)", "draw the objects")
    if top <= HALF:
        sentence = f"{what}, with at most {top} of 255 (a brush of low opacity): alpha above 0 is foreground"
        return one_class("alpha", (), 0, sentence, options)
    return one_class("alpha", (), HALF, f"{what}: visible pixels are foreground", options)


def mixed_opacities(stats: Sequence[MaskStats]) -> InferredEncoding | None:
    """Refuse masks with strokes of low opacity beside opaque ones, which a threshold would silently drop."""
    masks = [(s, s.alpha) for s in stats if s.alpha is not None and s.alpha.values[-1] > 0]
    tops = [int(alpha.values[-1]) for _, alpha in masks]
    if not tops or max(tops) <= HALF:
        return None
    mend = "make all strokes opaque, or pass `--threshold 0`: every pixel with alpha above 0 is foreground"
    for (s, _), top in zip(masks, tops, strict=True):
        if top <= HALF:
            what = f"has alpha up to {top} only, while other masks are opaque (up to {max(tops)})"
            return refuse("faint_alpha", str(s.path), what, mend)
    levels = pool((alpha.values, alpha.counts, alpha.spread) for _, alpha in masks)
    visible = levels.counts[levels.values > 0].sum()
    drawn = (levels.spread.core > SOLID * levels.counts) & (levels.counts > MIN_FAINT_SHARE * visible)
    for value in levels.values[drawn & (levels.values > 0) & (levels.values <= HALF)].tolist():
        first = next(s for s, alpha in masks if value in alpha.values)
        what = f"has areas of alpha {value} beside opaque ones"
        return refuse("faint_alpha", str(first.path), what, f"{mend}; `--threshold {HALF}` leaves the faint ones out")
    return None
