"""Masks with one colour per class: read by the user's colour map, or as binary if there is only one colour."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from samtune.data.masks.channels import unpack
from samtune.data.masks.encoding import UNKNOWN, MaskEncoding
from samtune.data.masks.inference.outcome import InferredEncoding, refuse
from samtune.data.masks.statistics import MAX_COLOURS
from samtune.data.options import NOT_CLASSES
from samtune.types import IGNORE, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from samtune.data.masks.statistics import MaskStats
    from samtune.data.options import DataOptions

TOLERANCE = 16
"""Largest difference of any channel, in steps of 0..255, at which a colour is read as the nearest one of the map."""

MIN_COLOURS_OF_OBJECTS = 4
"""At least this many colours, each in one mask only, may be one random colour per object."""


def infer_colours(stats: Sequence[MaskStats], options: DataOptions) -> InferredEncoding:
    """Infer the encoding of colour masks.

    Without `options.colours`, only black and one other colour are accepted, or any colours with `options.instances`.
    Everything else is refused with the list of colours, because which colour is which class cannot be known.
    """
    pixels: Counter[int] = Counter()
    files: Counter[int] = Counter()
    for s in stats:
        for value, count in zip(s.values_as("colour").tolist(), s.counts.tolist(), strict=True):
            pixels[value] += count
            files[value] += 1
    truncated = next((s for s in stats if s.truncated), None)
    if truncated is not None:
        what = f"has more than {MAX_COLOURS} colours, like a photograph; expected a mask with few colours"
        return refuse("too_many_colours", str(truncated.path), what, "check that the file is a mask")
    if options.colours is not None:
        return _by_map(stats, pixels, options)
    blurred = [s for s in stats if s.lossy and s.form == "colour"]
    if blurred:
        what = f"is a colour mask saved as JPEG ({len(blurred)} such file(s)), which blurs colours"
        mend = "save the masks as PNG, or pass a map with `--colour NAME=#RRGGBB` and a wide `--colour-tolerance`"
        return refuse("jpeg_mask", str(blurred[0].path), what, mend)
    others = [colour for colour in pixels if colour != 0]
    if not others:
        mend = "draw the objects, or check the masks folder"
        return refuse("no_foreground", "masks", "all masks are black", mend)
    if options.instances:
        return _objects(len(others), options)
    if len(others) == 1 and 0 in pixels and options.num_classes_meant in (None, 1):
        sentence = f"Masks are black and {unpack(others[0])}: that colour is foreground"
        names = options.class_names or ("foreground",)
        return InferredEncoding(MaskEncoding("binary", "colour", ((others[0], 1),), None, 1, sentence), names)
    return _refuse_without_map(stats, pixels, files)


def pack_map(colours: Mapping[str, tuple[int, int, int]], class_names: Sequence[str]) -> dict[int, int]:
    """Return the table of a colour map: 0xRRGGBB -> label; black is background unless the map names it.

    Args:
        colours: name -> (red, green, blue); "background", "ignore" and "void" are not classes.
        class_names: the classes in the order of their labels.
    """
    packed = {name: (red << 16) | (green << 8) | blue for name, (red, green, blue) in colours.items()}
    table = {packed[name]: label for label, name in enumerate(class_names, start=1)}
    for name, colour in packed.items():
        if name.lower() in NOT_CLASSES:
            table[colour] = 0 if name.lower() == "background" else IGNORE
    table.setdefault(0, 0)
    return table


def safe_tolerance(colours: list[int]) -> int:
    """Return `TOLERANCE`, or less if a colour could be within it of two colours of the map."""
    channels = np.array([unpack(colour) for colour in colours])
    differences = np.abs(channels[:, None] - channels[None]).max(axis=-1)
    nearest = int(differences[~np.eye(len(colours), dtype=bool)].min())
    return min(TOLERANCE, (nearest - 1) // 2)


def _objects(num: int, options: DataOptions) -> InferredEncoding:
    """Return the encoding of masks with one colour per object."""
    sentence = f"Masks hold one colour per object ({num} colours): every colour but black is foreground"
    table = () if options.ignore_label is None else ((int(options.ignore_label) * 0x010101, IGNORE),)
    encoding = MaskEncoding("instances", "colour", table, None, 1, sentence)
    return InferredEncoding(encoding, options.class_names or ("foreground",))


def _refuse_without_map(stats: Sequence[MaskStats], pixels: Counter[int], files: Counter[int]) -> InferredEncoding:
    """Refuse colours without a map; the remedy shows how to give one."""
    others = [colour for colour, _ in pixels.most_common() if colour != 0]
    first = next(s for s in stats if s.form in ("colour", "alpha", "palette"))
    total = pixels.total()
    shown = "; ".join(
        f"{unpack(colour)} in {files[colour]} masks, {100 * count / total:.1f} % of pixels"
        for colour, count in pixels.most_common(12)
    )
    more = f"; and {len(pixels) - 12} more colours" if len(pixels) > 12 else ""
    what = f"is a colour mask, and which colour is which class is unknown (the folder has {shown}{more})"
    mend = (
        f'pass a map of class names to colours, such as {{"class_1": {unpack(others[0])}}} '
        f"(`--colour class_1=#{others[0]:06X}`)"
    )
    if first.form == "palette":
        what += "; the indices of the palettes are not in a consistent order"
        mend += "; or `--ids A,B,...` to read palette indices as classes"
    if any(s.one_hot for s in stats) and first.form != "palette":
        what += "; each pixel is set in one channel only, so the channels may be one per class"
    if len(others) >= MIN_COLOURS_OF_OBJECTS and len(stats) > 1 and all(files[colour] == 1 for colour in others):
        what += "; each colour occurs in one mask only, so each may be one object"
        mend += "; or `--instances` if each colour is one object"
    return refuse("colours_need_map", str(first.path), what, mend)


def _by_map(stats: Sequence[MaskStats], pixels: Counter[int], options: DataOptions) -> InferredEncoding:
    """Return the encoding that the user's colour map defines, with colours near those of the map."""
    colours = options.colours or {}
    classes = options.class_names or tuple(name for name in colours if name.lower() not in NOT_CLASSES)
    table = pack_map(colours, classes)
    num_classes = options.num_classes_meant
    if num_classes not in (None, len(classes)):
        what = f"the colour map names {len(classes)} classes, but {num_classes} are expected"
        return refuse("too_many_classes", "masks", what, "name as many classes in the map as are expected")
    tolerance = safe_tolerance(list(table)) if options.colour_tolerance is None else options.colour_tolerance
    shown = ", ".join(f"{name} {tuple(colours[name])}" for name in classes[:12])
    sentence = f"Masks are colours, read by the map: {shown}"
    encoding = MaskEncoding("colours", "colour", tuple(sorted(table.items())), None, len(classes), sentence, tolerance)
    problems = [problem for s in stats if (problem := _unknown_colours(s, encoding)) is not None]
    if problems:
        return InferredEncoding(None, classes, tuple(problems))
    labels = encoding.labels_of(np.array(list(pixels), np.int64))
    if all(label in (0, IGNORE) for label in labels.tolist()):
        what = "no mask has any colour of the map's classes"
        return refuse("no_foreground", "masks", what, "check the map: values are (red, green, blue)")
    return _report_near(encoding, classes, pixels, stats)


def _unknown_colours(stats: MaskStats, encoding: MaskEncoding) -> Problem | None:
    """Return a problem if a mask has colours too far from every colour of the map; else None."""
    values = stats.values_as("colour")
    unknown = encoding.labels_of(values) == UNKNOWN
    if not unknown.any():
        return None
    ordered = values[unknown][np.argsort(-stats.counts[unknown], kind="stable")].tolist()
    shown = ", ".join(str(unpack(colour)) for colour in ordered[:6]) + (", ..." if len(ordered) > 6 else "")
    share = 100 * stats.counts[unknown].sum() / stats.counts.sum()
    what = (
        f"has {len(ordered)} colour(s) that the map does not name, {share:.2g} % of its pixels, more than "
        f"{encoding.tolerance} steps from every colour of the map: {shown}"
    )
    mend = (
        'add them to the map (as "background" or "ignore" if they are not classes), or, if edges are blurred, '
        "pass `--colour-tolerance 255` to read each as the nearest colour"
    )
    return Problem("unknown_colour", str(stats.path), what, mend, True)


def _report_near(
    encoding: MaskEncoding, classes: tuple[str, ...], pixels: Counter[int], stats: Sequence[MaskStats]
) -> InferredEncoding:
    """Return the encoding, with a report of the colours that are read as the nearest one of the map."""
    named = {value for value, _ in encoding.table}
    near = [colour for colour in pixels if colour not in named]
    if not near:
        return InferredEncoding(encoding, classes)
    share = 100 * sum(pixels[colour] for colour in near) / pixels.total()
    note = (
        f"{len(near)} colours that the map does not name ({share:.2g} % of pixels) were read as the nearest colour of "
        f"the map, within a tolerance of {encoding.tolerance} steps of 255"
    )
    first = next(s for s in stats if not named.issuperset(s.values_as("colour").tolist()))
    what = f"has colours near those of the map, such as {unpack(near[0])}"
    mend = "samtune doctor --fix OUT writes clean masks; `--colour-tolerance 0` refuses such colours"
    return InferredEncoding(encoding, classes, (Problem("near_colours", str(first.path), what, mend, False),), (note,))
