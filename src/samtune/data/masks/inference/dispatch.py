"""Choice between transparency, colours and a single channel for the masks of a folder; and masks without any object."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from samtune.data.masks.encoding import MaskEncoding
from samtune.data.masks.inference.channel import stored_value
from samtune.data.masks.inference.colours import infer_colours, pack_map, safe_tolerance
from samtune.data.masks.inference.outcome import InferredEncoding, refuse
from samtune.data.masks.inference.palettes import palette_contradiction, palette_reading
from samtune.data.masks.inference.single_channel import infer_fractional, infer_single_channel
from samtune.data.masks.inference.transparency import infer_transparency, mixed_opacities
from samtune.data.options import NOT_CLASSES
from samtune.types import IGNORE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from samtune.data.masks.statistics import MaskStats
    from samtune.data.options import DataOptions


def infer_encoding(stats: Sequence[MaskStats], options: DataOptions) -> InferredEncoding:
    """Infer the encoding that all masks of a folder share.

    Never guesses which colour is which class, or whether masks are inverted.

    Args:
        stats: of all masks of the folder.
        options: what the user states about them.

    Returns:
        The encoding, or the problems that prevent one; neither if there are no masks.
    """
    if not stats:
        return InferredEncoding(None, ())
    one_hot = next((s for s in stats if s.one_hot and s.form == "alpha"), None)
    if one_hot is not None:
        what = (
            "has at most one channel set at each pixel, alpha included, so the channels may be one per class; "
            "expected a single channel"
        )
        mend = "save class ids in a single channel, such as `np.argmax(bands, axis=2)` if band 0 is the background"
        return refuse("one_hot", str(one_hot.path), what, mend)
    faint = mixed_opacities(stats) if options.threshold is None else None
    if faint is not None:
        return faint
    reads = _reading(stats, options)
    if reads == "colour":
        return infer_colours(stats, options)
    if reads == "alpha":
        return infer_transparency(stats, options)
    contradiction = palette_contradiction(stats, reads)
    if contradiction is not None:
        return InferredEncoding(None, (), (contradiction,))
    if reads == "mixed_float":
        bad = next(s for s in stats if s.fractional and not _is_unit(s))
        what = f"has float values up to {np.nanmax(bad.values):g} that are neither whole numbers nor within 0..1"
        mend = "save 0 and 1, or whole numbers as ids, or pass `--threshold VALUE`: values above it are foreground"
        return infer_fractional(stats, options) or refuse("float_mask", str(bad.path), what, mend)
    return infer_single_channel(stats, reads, options)


def infer_empty(stats: Sequence[MaskStats], options: DataOptions) -> InferredEncoding | None:
    """Return the encoding of masks without any object, as the options define it.

    Args:
        stats: of all masks of the folder.
        options: state the classes, their number or their ids.

    Returns:
        None if the options do not state the classes.
    """
    colours = options.colours or {}
    names = options.class_names or tuple(name for name in colours if name.lower() not in NOT_CLASSES)
    num_classes = len(names) or options.num_classes or len(options.ids or ())
    if not num_classes:
        return None
    names = names or (("foreground",) if num_classes == 1 else tuple(f"class_{i + 1}" for i in range(num_classes)))
    if colours:
        table = pack_map(colours, names)
    else:
        values: Sequence[int] = options.ids or ((255,) if num_classes == 1 else range(1, num_classes + 1))
        table = {value: label for label, value in enumerate(values, start=1)}
    for background in options.background or ():
        table[stored_value(background)] = 0
    if options.ignore_label is not None:
        table[stored_value(options.ignore_label)] = IGNORE
    kind = "colours" if colours else "binary" if num_classes == 1 else "ids"
    sentence = f"No mask has any object; the classes are those that the options state: {', '.join(names)}"
    tolerance = options.colour_tolerance
    if tolerance is None:
        tolerance = safe_tolerance(list(table)) if colours else 0
    reads = _reading(stats, options)
    encoding = MaskEncoding(kind, reads, tuple(sorted(table.items())), None, num_classes, sentence, tolerance)
    return InferredEncoding(encoding, names)


def _reading(stats: Sequence[MaskStats], options: DataOptions) -> str:
    """Return the `MaskEncoding.reads` that suits all masks, or "mixed_float" if none does."""
    forms = {s.form for s in stats}
    if options.colours is not None:
        return "colour"
    if forms == {"alpha"} and len({colour for s in stats for colour in s.visible}) <= 1 and not options.instances:
        return "alpha"
    if forms & {"colour", "alpha"}:
        return "colour"
    names_values = options.ids is not None or options.background is not None or options.threshold is not None
    if names_values and forms <= {"palette", "value"}:
        return "value"
    if "palette" in forms:
        return palette_reading(stats)
    floats = [s for s in stats if s.form == "float"]
    if not any(s.fractional for s in floats):
        return "value"
    if all(_is_unit(s) for s in floats):
        return "unit"
    return "value" if options.threshold is not None else "mixed_float"


def _is_unit(stats: MaskStats) -> bool:
    """Return whether a float mask lies within 0..1, give or take the overshoot of interpolation."""
    return bool(np.nanmin(stats.values) > -1 and np.nanmax(stats.values) < 2)
