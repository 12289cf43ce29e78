"""Masks without any object: which classes they have is what the options say."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from samtune.data.masks.colours import safe_tolerance
from samtune.data.masks.encodings import MaskEncoding
from samtune.data.masks.inference import choose_reading
from samtune.data.masks.inferred import Inference
from samtune.data.masks.statistics import NAN
from samtune.data.options import NOT_CLASSES
from samtune.types import IGNORE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from samtune.data.masks.statistics import MaskStats
    from samtune.data.options import DataOptions


def infer_empty(stats: Sequence[MaskStats], options: DataOptions) -> Inference | None:
    """Return the encoding of masks that are all background, None where the options do not say the classes."""
    colours = options.colours or {}
    names = options.class_names or tuple(name for name in colours if name.lower() not in NOT_CLASSES)
    num_classes = len(names) or options.num_classes or len(options.ids or ())
    if not num_classes:
        return None
    names = names or (("foreground",) if num_classes == 1 else tuple(f"class_{i + 1}" for i in range(num_classes)))
    values: Sequence[int] = options.ids or ((255,) if num_classes == 1 else range(1, num_classes + 1))
    if colours:
        values = [(colours[name][0] << 16) | (colours[name][1] << 8) | colours[name][2] for name in names]
    table = {value: label for label, value in enumerate(values, start=1)}
    for ground in options.background or ():
        table[NAN if math.isnan(ground) else int(ground)] = 0
    for name, (red, green, blue) in colours.items():
        if name not in names:
            table[(red << 16) | (green << 8) | blue] = 0 if name.lower() == "background" else IGNORE
    if colours:
        table.setdefault(0, 0)
    if options.ignore_label is not None:
        table[NAN if math.isnan(options.ignore_label) else int(options.ignore_label)] = IGNORE
    kind = "colours" if colours else "binary" if num_classes == 1 else "ids"
    sentence = f"No mask has any object; the classes are those that are meant: {', '.join(names)}"
    reads = choose_reading(stats, options)
    tolerance = options.colour_tolerance
    if tolerance is None:
        tolerance = safe_tolerance(list(table)) if colours else 0
    encoding = MaskEncoding(kind, reads, tuple(sorted(table.items())), None, num_classes, sentence, tolerance)
    return Inference(encoding, names)
